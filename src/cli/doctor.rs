//! `twinc doctor`: version, machine and settings, for a report of a problem.

use super::args::{ColorChoice, DoctorArgs, Format};
use super::config::Config;
use super::console::Console;
use super::failure::{Exit, Failure};
use clap::ValueEnum;
use serde_json::{Value, json};

/// What is known of the machine: system, architecture, processors and the features kernels may use.
pub fn machine() -> Value {
    json!({
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "processors": std::thread::available_parallelism().map_or(1, |n| n.get()),
        "cpu_features": cpu_features(),
    })
}

#[cfg(target_arch = "x86_64")]
fn cpu_features() -> Vec<&'static str> {
    let mut found = Vec::new();
    if std::arch::is_x86_feature_detected!("sse4.1") {
        found.push("sse4.1");
    }
    if std::arch::is_x86_feature_detected!("avx") {
        found.push("avx");
    }
    if std::arch::is_x86_feature_detected!("avx2") {
        found.push("avx2");
    }
    if std::arch::is_x86_feature_detected!("fma") {
        found.push("fma");
    }
    if std::arch::is_x86_feature_detected!("avx512f") {
        found.push("avx512f");
    }
    found
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu_features() -> Vec<&'static str> {
    Vec::new()
}

fn name<T: ValueEnum>(value: &T) -> String {
    value.to_possible_value().map_or(String::new(), |v| v.get_name().to_string())
}

/// Prints the report.
///
/// # Errors
/// E0802 where stdout cannot take it.
pub fn run(args: &DoctorArgs, config: &Config, console: &mut Console) -> Result<Exit, Failure> {
    let threads = match config.threads.value {
        0 => "one per processor".to_string(),
        n => n.to_string(),
    };
    let settings: [(&str, String, &str); 3] = [
        ("threads", threads, &config.threads.origin),
        ("color", name::<ColorChoice>(&config.color.value), &config.color.origin),
        ("format", name::<Format>(&config.format.value), &config.format.origin),
    ];
    let machine = machine();
    if !console.is_text() {
        let settings: Vec<Value> =
            settings.iter().map(|(n, v, o)| json!({ "name": n, "value": v, "origin": o })).collect();
        console.result(json!({ "version": env!("CARGO_PKG_VERSION"), "machine": machine, "settings": settings }));
        return Ok(Exit::Fine);
    }
    let mut text = format!(
        "twinc {}\nsystem      {} {}\nprocessors  {}\nfeatures    {}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
        machine["processors"],
        if cpu_features().is_empty() { "none detected".to_string() } else { cpu_features().join(" ") },
    );
    let files: Vec<String> = config.files.iter().map(|path| path.display().to_string()).collect();
    text.push_str(&format!(
        "settings    {}\n",
        if files.is_empty() { "no file".to_string() } else { files.join(", ") }
    ));
    if args.show_config {
        for (name, value, origin) in &settings {
            text.push_str(&format!("  {name:<8} = {value:<18} from {origin}\n"));
        }
    }
    console.data(text.as_bytes())?;
    Ok(Exit::Fine)
}

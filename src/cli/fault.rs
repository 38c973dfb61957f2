//! What a user sees when twinc itself goes wrong: one line and the path of a report, instead of a backtrace.

use std::backtrace::Backtrace;
use std::panic::PanicHookInfo;

/// Replaces the panic message of this process. The exit code of a panic stays 101.
pub fn install() {
    std::panic::set_hook(Box::new(|info| {
        let report =
            report(&describe(info), &std::env::args().collect::<Vec<_>>(), &Backtrace::force_capture().to_string());
        let path = std::env::temp_dir().join(format!("twinc-report-{}.txt", std::process::id()));
        let place = match std::fs::write(&path, &report) {
            Ok(()) => format!("  a report is in {}", path.display()),
            Err(_) => report,
        };
        super::console::to_stderr(&format!("error: twinc itself went wrong; this is not your model's fault\n{place}"));
    }));
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let words = info
        .payload()
        .downcast_ref::<&str>()
        .map(|text| text.to_string())
        .or_else(|| info.payload().downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into());
    match info.location() {
        Some(place) => format!("{words}\nat {}:{}", place.file(), place.line()),
        None => words,
    }
}

fn report(what: &str, args: &[String], backtrace: &str) -> String {
    format!(
        "twinc {} on {} {}\ncommand: {}\n\n{what}\n\n{backtrace}\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
        args.join(" "),
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_report_names_version_command_and_place() {
        let text = super::report("index 3 of 2\nat src/a.rs:7", &["twinc".into(), "check".into()], "frames");
        assert!(text.starts_with(concat!("twinc ", env!("CARGO_PKG_VERSION"))));
        assert!(text.contains("command: twinc check") && text.contains("src/a.rs:7") && text.contains("frames"));
    }
}

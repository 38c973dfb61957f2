//! The `twinc` command.

fn main() -> std::process::ExitCode {
    twinc::cli::main()
}

//! The `chainrun` command.

fn main() -> std::process::ExitCode {
    chainrun::cli::main()
}

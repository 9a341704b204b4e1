//! Runs a command beside the local server, or just the server. ROUTES.md tells what it serves.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitCode;

use local_server::LocalServer;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("local-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<ExitCode> {
    let mut words = std::env::args_os().skip(1).peekable();
    let forever = words.next_if(|word| word == "--serve-forever").is_some();
    words.next_if(|word| word == "--");
    let server = LocalServer::start()?;
    // A runtime apart from the server's: this one thread waits for signals and for the command.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match words.next() {
        Some(program) => {
            let mut command = Command::new(program);
            command.args(words).envs(server.env());
            if std::env::var_os("URL").is_none() {
                command.env("URL", server.http());
            }
            runtime.block_on(attend(command))
        }
        None => {
            for (name, value) in server.env() {
                println!("{name}={value}");
            }
            runtime.block_on(until_told(forever))?;
            // A read of stdin may be under way in a thread, and cannot be ended.
            runtime.shutdown_background();
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Runs the command to its end; signals to end it are passed on.
async fn attend(mut command: Command) -> io::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut child = command.spawn()?;
    loop {
        tokio::select! {
            status = child.wait() => {
                let status = status?;
                let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
                return Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)));
            }
            _ = terminate.recv() => {
                if let Some(id) = child.id().and_then(|id| libc::pid_t::try_from(id).ok()) {
                    // SAFETY: no memory is involved, and the child has not been waited for yet.
                    unsafe { libc::kill(id, libc::SIGTERM) };
                }
            }
            // The terminal sends this one to the command as well.
            _ = interrupt.recv() => {}
        }
    }
}

/// Waits for a signal, or for stdin to end.
async fn until_told(forever: bool) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stdin_ends = async {
        let mut stdin = tokio::io::stdin();
        let mut buffer = [0; 256];
        while !forever && matches!(stdin.read(&mut buffer).await, Ok(1..)) {}
        if forever {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stdin_ends => {}
    }
    Ok(())
}

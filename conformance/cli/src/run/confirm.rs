//! Asks whether to begin.

use std::io::{self, BufRead, IsTerminal, Write};

use crate::exit::{Exit, Refused};

/// # Errors
/// Nobody can be asked, or the answer is no.
pub(crate) async fn confirm() -> Result<(), Refused> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        let message = "nobody can be asked whether to begin, as there is no terminal: give --yes";
        return Err(Refused::new(Exit::Usage, message.to_owned()));
    }
    let answer = tokio::task::spawn_blocking(|| {
        let mut error = io::stderr();
        write!(error, "Begin? [y/N] ").and_then(|()| error.flush())?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok::<_, io::Error>(answer)
    });
    match answer.await {
        Ok(Ok(answer)) if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") => Ok(()),
        _ => Err(Refused::new(Exit::Usage, "nothing was begun".to_owned())),
    }
}

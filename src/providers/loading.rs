//! Sending a request to a server that may still load its model.

use std::time::{Duration, Instant};

use super::ProviderError;
use crate::event::Sink;
use crate::net::{Call, Client, ErrorText, Failure, FailureKind, Response};

/// The shortest wait before a server that loads is asked again.
const SHORTEST: Duration = Duration::from_millis(50);

/// The longest wait, however long the server thinks that it needs.
const LONGEST: Duration = Duration::from_secs(30);

/// What came of a request.
pub enum Sent {
    /// An answer with status 200.
    Answer(Response),
    /// Another status.
    Refusal(Refusal),
}

/// An answer that is no success.
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// What its body says.
    pub text: ErrorText,
    /// Whether another attempt may help.
    pub kind: FailureKind,
    /// The wait that the server asked for.
    pub wait: Option<Duration>,
    /// Where it points to.
    pub location: Option<String>,
}

/// Sends a request, and again while the server says with 503 how long it still loads the model (`estimated_time`): as
/// long as silence is borne with.
///
/// # Errors
/// No answer came, in the caller's words.
pub async fn send(
    client: &Client,
    call: Call<'_>,
    sink: &mut Sink,
    words: impl Fn(Failure) -> ProviderError,
) -> Result<Sent, ProviderError> {
    let started = Instant::now();
    let mut told = false;
    loop {
        let call = Call { url: call.url, body: call.body, bearer: call.bearer, idle: call.idle };
        let idle = call.idle;
        let mut response = client.send(call).await.map_err(&words)?;
        let status = response.status();
        if status == 200 {
            return Ok(Sent::Answer(response));
        }
        let location = response.header("location").map(str::to_owned);
        let (text, kind, wait) = response.refusal().await;
        let rest = idle.saturating_sub(started.elapsed());
        match estimated(&text).filter(|wait| status == 503 && *wait < rest) {
            Some(wait) => {
                if !std::mem::replace(&mut told, true) {
                    sink.notice("the server still loads the model: the call waits for it").await?;
                }
                tokio::time::sleep(wait).await;
            }
            None => return Ok(Sent::Refusal(Refusal { status, text, kind, wait, location })),
        }
    }
}

/// How long to wait for a model that loads.
fn estimated(text: &ErrorText) -> Option<Duration> {
    let seconds = text.details.as_ref()?.get("estimated_time")?.as_f64()?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).clamp(SHORTEST, LONGEST))
}

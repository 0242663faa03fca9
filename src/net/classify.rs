//! Which refused requests another attempt may mend.

use std::time::Duration;

use super::{ErrorText, FailureKind};

/// The longest wait on a server's word. A server that asks for more is not asked again.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// The head of an answer that is not a success.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reply<'a> {
    /// The status.
    pub status: u16,
    /// The header `Retry-After`: seconds, also with a fraction, or a date (RFC 9110 section 10.2.3).
    pub retry_after: Option<&'a str>,
    /// The header `Retry-After-Ms`: milliseconds (OpenAI and its relatives).
    pub retry_after_ms: Option<&'a str>,
    /// The header `X-Should-Retry` (OpenAI and its relatives); only `false` is heard.
    pub should_retry: Option<&'a str>,
    /// The header `RateLimit` of the IETF's draft, as Hugging Face sends it: `"api";r=0;t=55`.
    pub rate_limit: Option<&'a str>,
    /// The header `Date`: the server's clock, which a date in `Retry-After` is measured against.
    pub date: Option<&'a str>,
}

/// Whether an answer that is no success may be one next time: [`FailureKind::Busy`] for 408, 409, 429, 502 to 504 and a
/// 500 that names no fault of the caller, else [`FailureKind::Refused`]. The wait is what the server asked for.
pub fn classify(reply: &Reply<'_>, text: &ErrorText) -> (FailureKind, Option<Duration>) {
    let wait = retry_after(reply);
    let again = match reply.status {
        // An empty account does not fill up while one waits.
        429 => text.label("code") != Some("insufficient_quota") && text.label("type") != Some("insufficient_quota"),
        408 | 409 | 502..=504 => true,
        500 => !callers_fault(text),
        _ => false,
    };
    let unwilling = reply.should_retry == Some("false") || wait.is_some_and(|w| w > LONGEST_WAIT);
    (if again && !unwilling { FailureKind::Busy } else { FailureKind::Refused }, wait)
}

/// Whether a server's own error (500) says that the request is at fault: it would be next time too. Ollama answers so
/// to options of a wrong type, to bad formats and to models that the machine cannot hold.
fn callers_fault(text: &ErrorText) -> bool {
    const WORDS: &[&str] = &[
        "invalid",
        "must be",
        "must not",
        "does not support",
        "not supported",
        "unsupported",
        "is required",
        "exceed",
        "too long",
        "context length",
        "cannot unmarshal",
        "requires more system memory",
        "no such file",
    ];
    let label = text.label("type").unwrap_or_default();
    let code = text.count("code").unwrap_or(500);
    let message = text.message.to_lowercase();
    label == "invalid_request_error" || (400..500).contains(&code) || WORDS.iter().any(|w| message.contains(w))
}

/// The wait that a server asked for. What no duration holds is the longest that one does.
pub fn retry_after(reply: &Reply<'_>) -> Option<Duration> {
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| *n >= 0.0);
    if let Some(ms) = reply.retry_after_ms.and_then(number) {
        return Some(Duration::try_from_secs_f64(ms / 1000.0).unwrap_or(Duration::MAX));
    }
    let Some(text) = reply.retry_after else { return limited(reply.rate_limit?) };
    if let Some(seconds) = number(text) {
        return Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    }
    let wait = http_date(text)? - http_date(reply.date?)?;
    Some(Duration::from_secs(u64::try_from(wait).unwrap_or(0)))
}

/// The wait until a quota that is used up (`r=0`) is there again, `t` seconds on; one more for clocks that differ.
fn limited(text: &str) -> Option<Duration> {
    let field = |name: &str| text.split(';').find_map(|f| f.trim().strip_prefix(name)?.parse::<u64>().ok());
    let wait = field("t=").filter(|_| field("r=") == Some(0))?;
    Some(Duration::from_secs(wait.saturating_add(1)))
}

/// Seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT`, the one form that servers may send (RFC 9110 section 5.6.7).
fn http_date(text: &str) -> Option<i64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut words = text.trim().split_once(", ")?.1.split(' ');
    let day: i64 = words.next()?.parse().ok()?;
    let month = MONTHS.find(words.next().filter(|m| m.len() == 3)?)? as i64 / 3 + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.splitn(3, ':').map(|n| n.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if !(1970..10_000).contains(&year) || !(1..32).contains(&day) {
        return None;
    }
    // Days of the Gregorian calendar, with years that begin in March so that the leap day comes last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 719_469;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, body: &str) -> FailureKind {
        classify(&Reply { status, ..Reply::default() }, &ErrorText::read(body)).0
    }

    #[test]
    fn statuses() {
        for status in [408, 409, 429, 500, 502, 503, 504] {
            assert_eq!(kind(status, ""), FailureKind::Busy, "{status}");
        }
        for status in [301, 400, 401, 403, 404, 405, 413, 418, 422, 425, 451, 499, 501, 505, 507, 529] {
            assert_eq!(kind(status, ""), FailureKind::Refused, "{status}");
        }
    }

    #[test]
    fn a_fault_of_the_caller_is_not_tried_again() {
        for body in [
            r#"{"error":"option \"top_k\" must be of type integer"}"#,
            r#"{"error":"invalid format: 3; expected \"json\" or a valid JSON Schema object"}"#,
            r#"{"error":"model requires more system memory (9 GiB) than is available (4 GiB)"}"#,
            r#"{"error":"{\"error\":{\"code\":400,\"message\":\"odd\",\"type\":\"x\"}}"}"#,
        ] {
            assert_eq!(kind(500, body), FailureKind::Refused, "{body}");
        }
        let crash = r#"{"error":"an error was encountered while running the model: unexpected EOF"}"#;
        assert_eq!(kind(500, crash), FailureKind::Busy);
        assert_eq!(kind(429, r#"{"error":{"message":"x","code":"insufficient_quota"}}"#), FailureKind::Refused);
    }

    #[test]
    fn waits() {
        let wait = |text| retry_after(&Reply { retry_after: Some(text), ..Reply::default() });
        assert_eq!(wait("1"), Some(Duration::from_secs(1)));
        assert_eq!(wait("1.5"), Some(Duration::from_millis(1500)));
        assert_eq!((wait("soon"), wait("NaN"), wait("-1")), (None, None, None));
        assert_eq!(wait("99999999999999999999999999"), Some(Duration::MAX));
        assert_eq!(wait("1e999"), Some(Duration::MAX));
        let limit = |text| retry_after(&Reply { rate_limit: Some(text), ..Reply::default() });
        assert_eq!(limit("\"api\";r=0;t=55"), Some(Duration::from_secs(56)));
        assert_eq!((limit("\"api\";r=3;t=55"), limit("\"api\";r=0"), limit("")), (None, None, None));
        let dated = Reply {
            retry_after: Some("Mon, 01 Mar 2027 00:00:05 GMT"),
            date: Some("Sun, 28 Feb 2027 23:59:55 GMT"),
            ..Reply::default()
        };
        assert_eq!(retry_after(&dated), Some(Duration::from_secs(10)));
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        let long = Reply { status: 429, retry_after: Some("300"), ..Reply::default() };
        assert_eq!(classify(&long, &ErrorText::default()), (FailureKind::Refused, Some(Duration::from_secs(300))));
        let no = Reply { status: 503, should_retry: Some("false"), ..Reply::default() };
        assert_eq!(classify(&no, &ErrorText::default()).0, FailureKind::Refused);
    }
}

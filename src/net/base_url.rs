//! Where a server is, in every form in which people write it.

use std::fmt;

/// A server's address: scheme, host, port and a path prefix that stays in front of every path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    scheme: &'static str,
    host: String,
    port: u16,
    prefix: String,
}

impl BaseUrl {
    /// An address as a file gives it: `http://host:port/prefix`, or without scheme, port or prefix. Without a scheme it
    /// is http on `default_port`; with one, the scheme's own port.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, String> {
        read(text, default_port, false)
    }

    /// An address as `OLLAMA_HOST` gives it (`envconfig/config_test.go` of Ollama has the forms): a port that is none
    /// counts as not given, quotes and spaces around are dropped.
    ///
    /// # Errors
    /// The scheme or the host is none.
    pub fn from_ollama_host(text: &str, default_port: u16) -> Result<Self, String> {
        read(text.trim().trim_matches(['"', '\'']), default_port, true)
    }

    /// The address of `path`, which begins with a slash. The prefix stays, unlike in RFC 3986's resolution.
    pub fn at(&self, path: &str) -> String {
        format!("{self}{path}")
    }

    /// The host, without port; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether what is sent there is encrypted.
    pub fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// Whether it is on this machine for certain.
    pub fn is_loopback(&self) -> bool {
        reqwest::Url::parse(&self.to_string()).is_ok_and(|url| super::is_loopback(&url))
    }

    /// The path that stays in front of every path; empty, or with a slash at its beginning.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The same with `suffix` at the end of its prefix.
    #[must_use]
    pub fn with_suffix(mut self, suffix: &str) -> Self {
        self.prefix.push_str(suffix);
        self
    }

    /// The same without `suffix` at the end of its prefix.
    #[must_use]
    pub fn without_suffix(mut self, suffix: &str) -> Self {
        if let Some(rest) = self.prefix.strip_suffix(suffix) {
            self.prefix = rest.to_owned();
        }
        self
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}{}", self.scheme, self.host, self.port, self.prefix)
    }
}

fn read(text: &str, default_port: u16, lenient: bool) -> Result<BaseUrl, String> {
    let text = text.trim();
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
        None => (None, text),
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    if let Some(at) = text.find(['?', '#']) {
        // What stands behind it may be a key.
        let (place, mark) = (&text[..at], &text[at..=at]);
        return Err(format!("`{place}{mark}…` is no server's address: leave out what begins with `{mark}`"));
    }
    if authority.contains('@') {
        return Err("a name or password has no place in an address: `api_key:` takes a secret".to_owned());
    }
    // Ollama's own short cut: its cloud is never plain http.
    let cloud = scheme.is_none() && authority == "ollama.com";
    let (scheme, port) = match scheme.as_deref() {
        None if cloud => ("https", 443),
        None => ("http", default_port),
        Some("http") => ("http", 80),
        Some("https") => ("https", 443),
        Some(other) => return Err(format!("`{other}://` is no scheme of a server: http:// or https://")),
    };
    let (host, given) = split_port(authority);
    let port = match given {
        None => port,
        Some(digits) => match digits.parse::<u16>() {
            Ok(port) => port,
            Err(_) if lenient => port,
            Err(_) => return Err(format!("`{digits}` is no port: a number from 0 to 65535")),
        },
    };
    let base = BaseUrl { scheme, host: connectable(host), port, prefix: path.trim_end_matches('/').to_owned() };
    match reqwest::Url::parse(&base.to_string()) {
        Ok(_) => Ok(base),
        Err(e) => Err(format!("`{text}` is no server's address: {e}")),
    }
}

/// Host and port. Several colons without brackets are an IPv6 address.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    if let Some(end) = authority.rfind(']') {
        return (&authority[..=end], authority[end + 1..].strip_prefix(':'));
    }
    match authority.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// A host that can be connected to: what a server listens on (`0.0.0.0`, `[::]`, nothing) is its own machine.
fn connectable(host: &str) -> String {
    match host.trim_start_matches('[').trim_end_matches(']') {
        "" | "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "[::1]".to_owned(),
        inner if inner.contains(':') => format!("[{inner}]"),
        inner => inner.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ollama_host_forms() {
        for (text, base) in [
            ("", "http://127.0.0.1:11434"),
            ("1.2.3.4", "http://1.2.3.4:11434"),
            (":1234", "http://127.0.0.1:1234"),
            ("1.2.3.4:1234", "http://1.2.3.4:1234"),
            ("example.com", "http://example.com:11434"),
            ("example.com:56789", "http://example.com:56789"),
            ("example.com/path", "http://example.com:11434/path"),
            ("::1", "http://[::1]:11434"),
            ("[::1]", "http://[::1]:11434"),
            ("[::1]:1337", "http://[::1]:1337"),
            ("[::]", "http://[::1]:11434"),
            ("[::]:1337", "http://[::1]:1337"),
            ("[0001:002:003:0004::1]", "http://[0001:002:003:0004::1]:11434"),
            ("http://[0001:002:003:0004::1]/path", "http://[0001:002:003:0004::1]:80/path"),
            ("http://1.2.3.4", "http://1.2.3.4:80"),
            ("https://1.2.3.4", "https://1.2.3.4:443"),
            ("https://1.2.3.4:56789", "https://1.2.3.4:56789"),
            ("HTTP://example.com", "http://example.com:80"),
            ("https://example.com/ollama", "https://example.com:443/ollama"),
            ("https://example.com:56789/path/", "https://example.com:56789/path"),
            ("ollama.com", "https://ollama.com:443"),
            ("0.0.0.0", "http://127.0.0.1:11434"),
            ("0.0.0.0:11435", "http://127.0.0.1:11435"),
            ("http://0.0.0.0:11434", "http://127.0.0.1:11434"),
            (" \"1.2.3.4\" ", "http://1.2.3.4:11434"),
            ("'example.com:8080'", "http://example.com:8080"),
            ("example.com:65536", "http://example.com:11434"),
            ("example.com:-1", "http://example.com:11434"),
            ("example.com:junk", "http://example.com:11434"),
            ("https://example.com:junk", "https://example.com:443"),
            ("localhost:11434", "http://localhost:11434"),
        ] {
            assert_eq!(BaseUrl::from_ollama_host(text, 11434).unwrap().to_string(), base, "{text:?}");
        }
    }

    #[test]
    fn addresses_of_files_are_strict_and_keep_their_prefix() {
        let base = BaseUrl::parse("http://host/prefix/", 11434).unwrap();
        assert_eq!(base.at("/api/chat"), "http://host:80/prefix/api/chat");
        assert_eq!(BaseUrl::parse("http://h:1/v1", 1).unwrap().without_suffix("/v1").to_string(), "http://h:1");
        for bad in
            ["http://host:port", "host:70000", "unix:///run/x", "http://me:pw@host", "http://a b", "h/?x=1", "h#x"]
        {
            assert!(BaseUrl::parse(bad, 11434).is_err(), "{bad}");
        }
    }
}

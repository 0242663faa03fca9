//! The proxies of the environment: which one an address goes through.

use std::net::IpAddr;

use reqwest::{NoProxy, Proxy, Url};

use super::client::cause;
use super::{BaseUrl, is_loopback};
use crate::config::Context;

/// The environment's proxies, each with the variable that names it.
#[derive(Default)]
pub struct Proxies {
    http: Option<(&'static str, String)>,
    https: Option<(&'static str, String)>,
    all: Option<(&'static str, String)>,
    none: String,
}

impl Proxies {
    /// The proxies of a context.
    pub fn new(context: &Context) -> Self {
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| context.var(name).map(|value| (name, value.to_owned())))
        };
        Self {
            http: first(["http_proxy", "HTTP_PROXY"]),
            https: first(["https_proxy", "HTTPS_PROXY"]),
            all: first(["all_proxy", "ALL_PROXY"]),
            none: first(["no_proxy", "NO_PROXY"]).map(|(_, value)| value).unwrap_or_default(),
        }
    }

    /// The variable whose proxy an address of `scheme` goes through, unless `NO_PROXY` keeps it out.
    pub fn variable(&self, scheme: &str) -> Option<&'static str> {
        self.setting(scheme).map(|(name, _)| *name)
    }

    fn setting(&self, scheme: &str) -> Option<&(&'static str, String)> {
        let own = if scheme == "https" { &self.https } else { &self.http };
        own.as_ref().or(self.all.as_ref())
    }

    /// The proxy that a server is reached through: the variable that names it, its host and its port. None on this machine,
    /// and where `NO_PROXY` names the server.
    pub fn towards(&self, base: &BaseUrl) -> Option<(&'static str, String)> {
        let url = Url::parse(&base.to_string()).ok()?;
        if is_loopback(&url) || excepted(&self.none, base.host()) {
            return None;
        }
        let (name, text) = self.setting(url.scheme())?;
        let with_scheme = if text.contains("://") { text.clone() } else { format!("http://{text}") };
        let proxy = Url::parse(&with_scheme).ok()?;
        let port = proxy.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
        Some((name, format!("{}{port}", proxy.host_str()?)))
    }

    /// Gives them to a client.
    ///
    /// # Errors
    /// A variable names no proxy, or one of a kind that cannot be used.
    pub fn apply(&self, mut builder: reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder, String> {
        let none = NoProxy::from_string(&format!("localhost,127.0.0.0/8,::1,{}", self.none));
        // The first that fits is taken, so the one for every scheme comes last.
        for (setting, scheme) in [(&self.http, "http"), (&self.https, "https"), (&self.all, "")] {
            let Some((name, url)) = setting else { continue };
            if url.starts_with("socks") {
                return Err(format!("{name} names a SOCKS proxy, which chainrun cannot use: an http:// one it can"));
            }
            let made = match scheme {
                "http" => Proxy::http(url),
                "https" => Proxy::https(url),
                _ => Proxy::all(url),
            };
            let proxy = made.map_err(|e| format!("{name} names no proxy: {}", cause(&e)))?;
            builder = builder.proxy(proxy.no_proxy(none.clone()));
        }
        Ok(builder)
    }
}

/// Whether `NO_PROXY` names a host: by its name or that of a domain it lies in, by its address or a network's, by `*`.
fn excepted(none: &str, host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    let address: Option<IpAddr> = host.parse().ok();
    none.split(',').map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| match address {
        _ if entry == "*" => true,
        Some(address) => in_network(address, entry),
        None => {
            let domain = entry.trim_start_matches('.').to_ascii_lowercase();
            let host = host.to_ascii_lowercase();
            host == domain || host.strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.'))
        }
    })
}

/// Whether an address is `entry`, or lies in the network that it names, as `10.0.0.0/8`.
fn in_network(address: IpAddr, entry: &str) -> bool {
    let (network, length) = match entry.split_once('/') {
        Some((network, length)) => (network, length.parse::<u32>().ok()),
        None => (entry, Some(128)),
    };
    let Ok(network) = network.trim_matches(['[', ']']).parse::<IpAddr>() else { return false };
    let Some(length) = length else { return false };
    let (a, b, bits) = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(u32::from(a)), u128::from(u32::from(b)), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a), u128::from(b), 128),
        _ => return false,
    };
    let shift = u32::saturating_sub(bits, length.min(bits));
    a.checked_shr(shift).unwrap_or(0) == b.checked_shr(shift).unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn what_no_proxy_names() {
        for (none, host, expected) in [
            ("", "a.example", false),
            ("*", "a.example", true),
            ("example", "a.example", true),
            (".example", "a.example", true),
            ("a.example", "A.Example", true),
            ("b.example, a.example", "a.example", true),
            ("ample", "a.example", false),
            ("a.example", "example", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.0/8", "10.9.8.7", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "11.0.0.1", true),
            ("10.0.0.0/x", "10.0.0.1", false),
            ("fe80::/10", "[fe80::1]", true),
            ("::1", "[fe80::1]", false),
            ("example", "10.0.0.1", false),
        ] {
            assert_eq!(excepted(none, host), expected, "{none} {host}");
        }
    }

    #[test]
    fn the_proxy_of_a_server() {
        let of = |variables: &[(&str, &str)], server: &str| {
            let env = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let proxies = Proxies::new(&Context::new(env, "/".into(), false, Instant::now()));
            proxies.towards(&BaseUrl::parse(server, 80).unwrap()).map(|(name, place)| format!("{name} {place}"))
        };
        let both = [("HTTPS_PROXY", "http://me:pw@proxy.example:3128"), ("ALL_PROXY", "other.example:8080")];
        assert_eq!(of(&both, "https://api.example").unwrap(), "HTTPS_PROXY proxy.example:3128");
        assert_eq!(of(&both, "http://api.example").unwrap(), "ALL_PROXY other.example:8080");
        assert_eq!(of(&both, "http://127.0.0.1:11434"), None);
        assert_eq!(of(&both, "https://localhost"), None);
        assert_eq!(of(&[both[0], ("NO_PROXY", "api.example")], "https://api.example"), None);
        assert_eq!(of(&[], "https://api.example"), None);
    }
}

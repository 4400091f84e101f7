//! Where a request really comes from, when proxies stand in between that are trusted to say so.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::{FORWARDED, HOST};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use super::header_edits::remove_however_spelt;
use crate::listener::ClientName;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Headers by which proxies speak, none of which a client may write itself.
const ALL: [HeaderName; 6] = [
    FORWARDED,
    FORWARDED_FOR,
    FORWARDED_HOST,
    FORWARDED_PROTO,
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-real-ip"),
];

/// In which header the trusted proxies say it. Only one is believed: a proxy that writes one passes on the other as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum ForwardedHeader {
    /// `X-Forwarded-For`, with `X-Forwarded-Proto`.
    #[default]
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The proxies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Proxies {
    pub(super) trusted: Vec<IpNet>,
    pub(super) header: ForwardedHeader,
}

/// Who sent a request, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its address; the port is 0 if only a proxy knows it.
    pub address: SocketAddr,
    /// The same as it is written.
    pub text: HeaderValue,
    /// How it connected to the first of us.
    pub scheme: Scheme,
    /// What its certificate calls it, if it has shown us one.
    pub certificate: Option<Arc<ClientName>>,
}

/// What one proxy says of who is before it.
struct Hop {
    address: Option<IpAddr>,
    scheme: Option<Scheme>,
}

impl Proxies {
    /// Who sent this request to `authority` (which with HTTP/1 is in a header), and leaves in its headers only what is true.
    pub(super) fn resolve(&self, peer: Client, authority: Option<&Authority>, headers: &mut HeaderMap) -> Client {
        let client = match self.trusts(peer.address.ip()) {
            true => self.follow(peer, headers),
            false => peer,
        };
        remove_however_spelt(headers, &ALL);
        let address = client.address.ip().to_canonical().to_string();
        headers.extend(HeaderValue::try_from(address).ok().map(|address| (FORWARDED_FOR, address)));
        // Both of the schemes that there are make a header.
        headers.extend(HeaderValue::from_str(client.scheme.as_str()).ok().map(|scheme| (FORWARDED_PROTO, scheme)));
        if let Some(host) =
            headers.get(HOST).cloned().or_else(|| authority.and_then(|text| text.as_str().try_into().ok()))
        {
            headers.insert(FORWARDED_HOST, host);
        }
        client
    }

    /// Goes back from proxy to proxy, as long as each is trusted.
    fn follow(&self, peer: Client, headers: &HeaderMap) -> Client {
        let mut client = peer;
        // It is the proxy's, and nobody's word for who is behind it.
        client.certificate = None;
        for hop in self.hops(headers).into_iter().rev() {
            client.scheme = hop.scheme.unwrap_or(client.scheme);
            // Somebody who is not named: the proxy that says so is the last that is known.
            let Some(address) = hop.address else { break };
            client.address = SocketAddr::new(address, 0);
            if !self.trusts(address) {
                break;
            }
        }
        // An address is valid in every header.
        client.text = HeaderValue::try_from(client.address.to_string()).unwrap_or(client.text);
        client
    }

    fn hops(&self, headers: &HeaderMap) -> Vec<Hop> {
        // What is not text is not left out: it would be as if one proxy less had written.
        let lines = |name: HeaderName| {
            let values = headers.get_all(name).iter();
            values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect::<Vec<_>>()
        };
        if self.header == ForwardedHeader::Forwarded {
            let lines = lines(FORWARDED);
            return lines.iter().flat_map(|line| split(line, ',')).map(Hop::parse).collect();
        }
        // In these headers a quote is no more than a letter.
        let elements = |name: HeaderName| {
            let elements = lines(name).into_iter();
            elements
                .flat_map(|line| line.split(',').map(|element| element.trim().to_owned()).collect::<Vec<_>>())
                .collect::<Vec<_>>()
        };
        // The last of both is what the nearest proxy has written.
        let mut schemes = elements(FORWARDED_PROTO).into_iter().rev();
        let hops = elements(FORWARDED_FOR).into_iter().rev().map(|address| Hop {
            address: parse_address(&address),
            scheme: schemes.next().and_then(|scheme| parse_scheme(&scheme)),
        });
        let mut hops: Vec<Hop> = hops.collect();
        hops.reverse();
        hops
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }
}

impl Hop {
    /// Reads an element of `Forwarded`.
    fn parse(element: &str) -> Self {
        let mut hop = Self { address: None, scheme: None };
        let mut names = 0;
        for pair in split(element, ';') {
            let Some((name, value)) = pair.split_once('=') else { continue };
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "for" => {
                    names += 1;
                    hop.address = parse_address(value);
                }
                "proto" => hop.scheme = parse_scheme(value),
                _ => {}
            }
        }
        // Two names are none.
        Self { address: hop.address.filter(|_| names == 1), ..hop }
    }
}

/// The parts of a list, which quoted strings do not end (RFC 9110, 5.6.4). Read from its end, where the nearest proxy has
/// written: a quote that a client has left open does not swallow what comes after it.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut end, mut is_quoted) = (Vec::new(), text.len(), false);
    for (place, character) in text.char_indices().rev() {
        let before = &text[..place];
        let is_escaped = || (before.len() - before.trim_end_matches('\\').len()) % 2 == 1;
        if character == '"' && !is_escaped() {
            is_quoted = !is_quoted;
        } else if character == separator && !is_quoted {
            parts.push(text[place + character.len_utf8()..end].trim());
            end = place;
        }
    }
    parts.push(text[..end].trim());
    parts.reverse();
    parts
}

/// An address with or without port, IPv6 with or without brackets.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

fn parse_scheme(text: &str) -> Option<Scheme> {
    [Scheme::HTTP, Scheme::HTTPS].into_iter().find(|scheme| text.eq_ignore_ascii_case(scheme.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn resolved(header: ForwardedHeader, peer: &str, pairs: &[(&'static str, &'static str)]) -> (Client, HeaderMap) {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()).to_vec();
        let address: SocketAddr = peer.parse().unwrap();
        let peer = Client {
            address,
            text: HeaderValue::try_from(peer).unwrap(),
            scheme: Scheme::HTTP,
            certificate: Some(Arc::new(ClientName::of_subject("CN=proxy"))),
        };
        let mut headers = headers(pairs);
        (Proxies { trusted, header }.resolve(peer, None, &mut headers), headers)
    }

    fn address(header: ForwardedHeader, peer: &str, pairs: &[(&'static str, &'static str)]) -> String {
        resolved(header, peer, pairs).0.text.to_str().unwrap().to_owned()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let said = [("x-forwarded-for", "1.2.3.4"), ("forwarded", "for=5.6.7.8")];
        assert_eq!(address(ForwardedHeader::XForwarded, "192.0.2.1:99", &said), "192.0.2.1:99");
        assert_eq!(address(ForwardedHeader::XForwarded, "10.0.0.1:99", &said), "1.2.3.4:0");
        assert_eq!(address(ForwardedHeader::Forwarded, "10.0.0.1:99", &said), "5.6.7.8:0");
        assert_eq!(address(ForwardedHeader::XForwarded, "[::ffff:10.0.0.1]:99", &said), "1.2.3.4:0");
    }

    #[test]
    fn what_a_client_wrote_before_the_proxies_is_not_believed() {
        let said = [("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.1.1.1"), ("x-forwarded-for", "10.2.2.2")];
        assert_eq!(address(ForwardedHeader::XForwarded, "10.0.0.1:99", &said), "1.2.3.4:0");
        let said = [("forwarded", "for=6.6.6.6, for=\"[2001:db8::1]:4711\";proto=https, for=10.1.1.1")];
        let (client, headers) = resolved(ForwardedHeader::Forwarded, "10.0.0.1:99", &said);
        assert_eq!(client.text, "[2001:db8::1]:0");
        assert_eq!(client.certificate, None, "it is the proxy's");
        assert_eq!(client.scheme, Scheme::HTTPS);
        assert_eq!(headers["x-forwarded-for"], "2001:db8::1");
    }

    #[test]
    fn no_text_of_a_client_is_taken_for_a_proxys() {
        let mut headers = headers(&[("x-forwarded-proto", "https, http")]);
        headers.append(FORWARDED_FOR, HeaderValue::from_bytes(b"\xff, 1.2.3.4").unwrap());
        let peer = Client {
            address: "10.0.0.1:99".parse().unwrap(),
            text: HeaderValue::from_static("10.0.0.1:99"),
            scheme: Scheme::HTTP,
            certificate: None,
        };
        let trusted = vec!["10.0.0.0/8".parse().unwrap()];
        let proxies = Proxies { trusted, header: ForwardedHeader::XForwarded };
        let client = proxies.resolve(peer, Some(&Authority::from_static("shop.example")), &mut headers);
        assert_eq!((client.text.to_str().unwrap(), client.scheme), ("1.2.3.4:0", Scheme::HTTP));
        assert_eq!(headers["x-forwarded-host"], "shop.example");

        for unclosed in ["for=6.6.6.6, for=\", for=1.2.3.4;host=\"a,b\"", "for=\"\\, for=1.2.3.4"] {
            assert_eq!(address(ForwardedHeader::Forwarded, "10.0.0.1:99", &[("forwarded", unclosed)]), "1.2.3.4:0");
        }
        let unclosed = [("x-forwarded-for", "\", 1.2.3.4")];
        assert_eq!(address(ForwardedHeader::XForwarded, "10.0.0.1:99", &unclosed), "1.2.3.4:0");

        let quoted = [("forwarded", "for=1.2.3.4;host=\"x,for=10.0.0.5\"")];
        assert_eq!(address(ForwardedHeader::Forwarded, "10.0.0.1:99", &quoted), "1.2.3.4:0");
        let twice = [("forwarded", "for=6.6.6.6;for=1.2.3.4")];
        assert_eq!(address(ForwardedHeader::Forwarded, "10.0.0.1:99", &twice), "10.0.0.1:99");
    }

    #[test]
    fn who_hides_is_known_by_its_proxy() {
        for said in ["for=_hidden", "for=unknown", "by=10.0.0.1", ""] {
            let (client, _) = resolved(ForwardedHeader::Forwarded, "10.0.0.1:99", &[("forwarded", said)]);
            assert_eq!(client.address.ip().to_string(), "10.0.0.1", "{said:?}");
        }
    }

    #[test]
    fn components_are_told_only_what_is_true() {
        let said = [
            ("host", "shop.example"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example"),
            ("x-real-ip", "9.9.9.9"),
            ("forwarded", "for=9.9.9.9"),
        ];
        let (_, told) = resolved(ForwardedHeader::XForwarded, "192.0.2.1:99", &said);
        assert_eq!(told["x-forwarded-for"], "192.0.2.1");
        assert_eq!(told["x-forwarded-proto"], "http");
        assert_eq!(told["x-forwarded-host"], "shop.example");
        assert_eq!(told.len(), 4, "{told:?}");
        let (client, told) = resolved(ForwardedHeader::XForwarded, "10.0.0.1:99", &said);
        assert_eq!((client.scheme, told["x-forwarded-proto"].to_str().unwrap()), (Scheme::HTTPS, "https"));
    }
}

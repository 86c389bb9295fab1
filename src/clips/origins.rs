//! Where pages get and send clips' bytes besides the server itself, for the app's content security policy.

use crate::config::{Clips, ClipsAws, ClipsBackend};
use http::Uri;

/// Origins of the bucket and of CloudFront; none on one machine.
pub(super) fn origins(settings: &Clips) -> Vec<String> {
    match (&settings.backend, &settings.aws) {
        (ClipsBackend::Aws, Some(aws)) => {
            let front = aws.cloudfront.as_ref();
            let front = front.and_then(|front| origin(&front.base, None));
            bucket(aws).into_iter().chain(front).collect()
        }
        (ClipsBackend::Aws | ClipsBackend::Embedded, _) => Vec::new(),
    }
}

/// The origin in the URLs that S3's SDK signs: the bucket is a part of the host's name unless the style is by path.
fn bucket(aws: &ClipsAws) -> Option<String> {
    let own = format!("https://s3.{}.amazonaws.com", aws.region);
    let endpoint = aws.endpoint.as_deref().unwrap_or(&own);
    let before = (!aws.path_style).then_some(aws.bucket.as_str());
    origin(endpoint, before)
}

fn origin(url: &str, host_prefix: Option<&str>) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    let (scheme, authority) = (url.scheme_str()?, url.authority()?);
    // An authority's name and password are nobody's business; a bucket cannot stand before an address.
    let host = authority.host();
    let is_name = host.parse::<std::net::Ipv4Addr>().is_err() && !host.starts_with('[');
    let prefix = host_prefix.filter(|_| is_name);
    let prefix = prefix.map(|name| format!("{name}.")).unwrap_or_default();
    let port = authority.port_u16();
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{scheme}://{prefix}{host}{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_stands_before_a_name_and_not_before_an_address() {
        let table = [
            (
                "https://s3.eu-west-1.amazonaws.com",
                Some("clips"),
                "https://clips.s3.eu-west-1.amazonaws.com",
            ),
            (
                "http://127.0.0.1:4566/",
                Some("clips"),
                "http://127.0.0.1:4566",
            ),
            ("http://[::1]:4566", Some("clips"), "http://[::1]:4566"),
            (
                "https://store.example:9000/a",
                None,
                "https://store.example:9000",
            ),
            (
                "https://user:secret@media.example.org/x",
                None,
                "https://media.example.org",
            ),
        ];
        for (url, prefix, expected) in table {
            assert_eq!(origin(url, prefix).as_deref(), Some(expected), "{url}");
        }
        assert_eq!(origin("media.example.org", None), None);
    }
}

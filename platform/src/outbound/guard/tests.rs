use super::*;

fn guard(allowed: &[&str]) -> Guard {
    Guard::new(allowed).expect("an allow list")
}

fn verdict(guard: &Guard, url: &str) -> Result<String, Forbidden> {
    guard.check_url(url).map(|(_, origin)| origin.to_string())
}

#[test]
fn only_addresses_of_public_hosts_may_be_called() {
    let forbidden = "0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 \
        127.255.255.254 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 \
        192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 \
        224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: ::1 ::ffff:127.0.0.1 \
        ::ffff:8.8.8.8 ::127.0.0.1 ::ffff:0:10.0.0.1 64:ff9b::7f00:1 64:ff9b::808:808 \
        64:ff9b:1::1 100::1 2001::1 2001:2::1 2001:20::1 2001:1ff::1 2001:db8::1 \
        2002:7f00:1::1 2002:a00:1:: 3ffe::1 3fff::1 3fff:fff::1 5f00::1 fc00::1 fd12::1 \
        fe80::1 febf::1 fec0::1 ff02::1 ff0e::1";
    for text in forbidden.split(' ') {
        assert!(
            !is_public(text.parse().expect(text)),
            "{text} is not public"
        );
    }
    let public = "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 126.0.0.1 \
        128.0.0.1 169.253.0.1 172.15.0.1 172.32.0.1 192.0.1.1 192.167.0.1 192.169.0.1 \
        198.17.0.1 198.20.0.1 223.255.255.255 2001:200::1 2001:4860:4860::8888 \
        2606:4700::1 2a00:1450::1 3fff:1000::1";
    for text in public.split(' ') {
        assert!(is_public(text.parse().expect(text)), "{text} is public");
    }
}

#[test]
fn urls_are_refused_with_the_reason() {
    use Forbidden::{Address, Host, Malformed, Port, Scheme, TooLong, UserInfo};
    let guard = guard(&[]);
    let long = format!("https://push.example/{}", "a".repeat(OUTBOUND_URL_BYTES));
    let table = [
        ("http://push.example/a", Scheme),
        ("ftp://push.example/a", Scheme),
        ("push.example/a", Malformed),
        ("/a", Malformed),
        ("", Malformed),
        ("https://", Malformed),
        ("https://push.example/a#b", Malformed),
        ("https://push.example/a b", Malformed),
        ("https://user@push.example/", UserInfo),
        ("https://user:word@push.example/", UserInfo),
        ("https://push.example@127.0.0.1/", UserInfo),
        ("https://push.example:22/", Port),
        ("https://push.example:80/", Port),
        ("https://push.example:/", Port),
        ("https://push.example:99999/", Port),
        ("https://1.1.1.1:6379/", Port),
        ("https://127.0.0.1/", Address),
        ("https://169.254.169.254/latest/meta-data", Address),
        ("https://[::1]/", Address),
        ("https://[::ffff:10.0.0.1]/", Address),
        ("https://[fe80::1%25eth0]/", Host),
        ("https://exa$mple/", Host),
        (long.as_str(), TooLong),
    ];
    for (url, reason) in table {
        // The parser of `http` may refuse more than the guard would, and says so as "malformed".
        let got = verdict(&guard, url).expect_err(url);
        assert!(
            got == reason || got == Malformed,
            "{url}: {got:?}, not {reason:?}"
        );
    }
    assert_eq!(verdict(&guard, "https://user@push.example/"), Err(UserInfo));
    assert_eq!(verdict(&guard, "https://127.0.0.1/"), Err(Address));
}

#[test]
fn an_origin_keeps_a_port_that_is_not_the_default() {
    let guard = guard(&[]);
    let origin = |url| verdict(&guard, url).expect(url);
    assert_eq!(origin("https://Push.Example/a?b"), "https://push.example");
    assert_eq!(origin("https://push.example:443/a"), "https://push.example");
    assert_eq!(
        origin("https://push.example:8443/a"),
        "https://push.example:8443"
    );
    assert_eq!(
        origin("https://[2606:4700:0::1]:8443/"),
        "https://[2606:4700::1]:8443"
    );
}

#[test]
fn the_allow_list_opens_what_it_names_and_no_more() {
    let guard = guard(&["push.lan:9000", "gate.lan", "10.1.0.0/16", "127.0.0.1"]);
    let name = |url: &str| guard.check_url(url).expect(url).1;
    let check =
        |url: &str, address: &str| guard.check_address(&name(url), address.parse().expect(address));
    assert_eq!(check("https://push.lan:9000/", "192.168.0.9"), Ok(()));
    assert_eq!(
        check("https://push.lan/", "192.168.0.9"),
        Err(Forbidden::Address)
    );
    assert_eq!(check("https://gate.lan:1234/", "fd00::1"), Ok(()));
    assert_eq!(check("https://other.example:1234/", "10.1.2.3"), Ok(()));
    assert_eq!(
        check("https://other.example/", "10.2.0.1"),
        Err(Forbidden::Address)
    );
    assert_eq!(
        check("https://other.example:1234/", "1.1.1.1"),
        Err(Forbidden::Port)
    );
    assert!(guard.check_url("https://127.0.0.1:40123/push").is_ok());
    assert!(
        guard
            .check_url("https://[::ffff:127.0.0.1]:40123/push")
            .is_ok()
    );
    assert!(guard.check_url("https://127.0.0.2/push").is_err());
    for line in ["", "user@host", "host:x", "10.0.0.0/33", "ho st"] {
        assert!(Guard::new(&[line]).is_err(), "{line:?}");
    }
}

#[test]
fn an_origin_is_not_shown_by_accident() {
    let (_, origin) = guard(&[])
        .check_url("https://alices-home.example/x")
        .expect("a URL");
    assert!(!format!("{origin:?}").contains("alice"));
}

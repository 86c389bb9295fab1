use super::super::{Config, ConfigError, Options, load};
use kaiwa_common::token::ServerRole;
use kaiwa_media_pipeline::authz::ActsFor;
use std::collections::BTreeSet;

fn from_toml(text: &str) -> Result<Config, ConfigError> {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    let options = Options {
        file: Some(file.path().to_owned()),
        ..Options::default()
    };
    load(&options, std::iter::empty())
}

const EVERYTHING: &str = r#"
    [clips]
    enabled = true
    backend = "aws"
    grpc_listen = "off"
    grpc_reflection = true
    max_bytes = 1
    max_duration_s = 28800
    bytes_per_day = 1
    uploads_at_once = 1
    service_secret_file = "/etc/kaiwa/clips-services"
    service_audience = "clips"
    [clips.services.lms]
    scopes = ["clips.read", "clips.write", "clips.play", "clips.admin"]
    acts_for = ["alice", "auth0|5f7c"]
    role = "viewer"
    [clips.services."reports@example.org"]
    scopes = ["clips.read"]
    acts_for = ["*"]
    [clips.permission_hook]
    url = "https://lms.internal:8443/may/{permission}/now"
    secret_file = "/etc/kaiwa/hook"
    allowed_private = ["lms.internal"]
    extra_ca = "ca.pem"
    [clips.aws]
    region = "ap-northeast-1"
    endpoint = "http://127.0.0.1:4566"
    bucket = "example-clips"
    path_style = true
    upload_role = "arn:aws:iam::111122223333:role/kaiwa-upload"
    mediaconvert_role = "arn:aws:iam::111122223333:role/kaiwa-mediaconvert"
    mediaconvert_queue = "arn:aws:mediaconvert:ap-northeast-1:111122223333:queues/Default"
    mediaconvert_endpoint = "https://mediaconvert.internal"
    queue_prefix = ""
    table = "kaiwa-clips"
    ask_after_s = 1
    [clips.aws.webhook]
    secret_files = ["/etc/kaiwa/webhook"]
    [clips.aws.cloudfront]
    base = "https://media.example.org"
    key_pair_id = "K1"
    private_key_file = "/etc/kaiwa/cloudfront.pem"
"#;

#[test]
fn every_setting_of_clips_is_read_and_printed() {
    let config = from_toml(EVERYTHING).expect("valid");
    let lms = config.clips.services["lms"].rule();
    assert_eq!((lms.role, lms.scopes.len()), (ServerRole::Viewer, 4));
    let printed = toml::to_string_pretty(&config).expect("TOML");
    assert_eq!(from_toml(&printed).expect("valid"), config);
}

#[test]
fn a_service_acts_for_whom_it_is_said_to_and_is_a_creator_if_nothing_is_said() {
    let rule = |acts_for: &str| {
        let text = format!(
            "[clips]\nservice_secret_file = \"k\"\n[clips.services.lms]\nscopes = [\"clips.read\"]\n{acts_for}"
        );
        from_toml(&text).expect("valid").clips.services["lms"].rule()
    };
    assert_eq!(rule("").role, ServerRole::Creator);
    assert_eq!(rule("").acts_for, ActsFor::Nobody);
    let named = BTreeSet::from(["alice".to_owned()]);
    assert_eq!(
        rule("acts_for = [\"alice\"]").acts_for,
        ActsFor::People(named)
    );
    let anybody = rule("acts_for = [\"alice\", \"*\"]").acts_for;
    assert_eq!(anybody, ActsFor::Anybody);
}

/// Whatever is refused: the settings, and what the refusal says.
fn refused(cases: &[(&str, &str)]) {
    for (text, says) in cases {
        let error = from_toml(text).expect_err(text).to_string();
        assert_eq!(error, *says, "{text}");
    }
}

#[test]
fn numbers_that_are_out_of_range_are_refused_with_the_range() {
    refused(&[
        (
            "[clips]\nmax_bytes = 0",
            "clips.max_bytes has to be from 1 to 4294967296",
        ),
        (
            "[clips]\nmax_bytes = 4294967297",
            "clips.max_bytes has to be from 1 to 4294967296",
        ),
        (
            "[clips]\nmax_duration_s = 0",
            "clips.max_duration_s has to be from 1 to 28800",
        ),
        (
            "[clips]\nmax_duration_s = 28801",
            "clips.max_duration_s has to be from 1 to 28800",
        ),
        (
            "[clips]\nbytes_per_day = 0",
            "clips.bytes_per_day can't be 0: clips.enabled = false switches clips off",
        ),
        (
            "[clips]\nuploads_at_once = 0",
            "clips.uploads_at_once can't be 0: clips.enabled = false switches clips off",
        ),
    ]);
}

#[test]
fn plain_grpc_beyond_loopback_is_refused_with_the_ways_out() {
    let listen = "[clips]\ngrpc_listen = \"192.0.2.1:50051\"\n";
    refused(&[(
        listen,
        "clips.grpc_listen: 192.0.2.1:50051 is not a loopback address, and plain gRPC would show every token to \
         the network: give http.tls_certificate and http.tls_key, which gRPC takes as well, or --allow-plain behind \
         a proxy that does TLS",
    )]);
    for way_out in [
        "allow_plain = true",
        "tls_self_signed = true",
        "tls_certificate = \"c\"\ntls_key = \"k\"",
    ] {
        assert!(
            from_toml(&format!("{listen}[http]\n{way_out}")).is_ok(),
            "{way_out}"
        );
    }
    // What can't be read at all is told with its place by the reader.
    let error = from_toml("[clips]\ngrpc_listen = \"somewhere\"").expect_err("no address");
    let cause = std::error::Error::source(&error)
        .expect("a cause")
        .to_string();
    let says = "\"somewhere\" is neither an address such as 127.0.0.1:50051 nor off";
    assert!(
        cause.contains(says) && cause.contains("grpc_listen"),
        "{cause}"
    );
}

#[test]
fn services_that_could_never_ask_or_ask_too_much_are_refused() {
    let key = "[clips]\nservice_secret_file = \"k\"\n";
    let lms = format!("{key}[clips.services.lms]\n");
    let scopes = "scopes = [\"clips.read\"]";
    let audience =
        "clips.service_audience has to differ from auth.audience: a person's token is no service's";
    refused(&[
        (
            &format!("[clips.services.lms]\n{scopes}"),
            "clips.services need clips.service_secret_file: their tokens are signed with a key of their own",
        ),
        (
            &format!("{key}service_audience = \"\"\n[clips.services.lms]\n{scopes}"),
            audience,
        ),
        (
            &format!("{key}service_audience = \"kaiwa\"\n[clips.services.lms]\n{scopes}"),
            audience,
        ),
        (
            &format!("{lms}scopes = []"),
            "clips.services.lms.scopes is empty: give some of clips.read, clips.write, clips.play, clips.admin",
        ),
        (
            &format!("{lms}scopes = [\"clips.read\", \"clips\"]"),
            "clips.services.lms.scopes: \"clips\" is none of clips.read, clips.write, clips.play, clips.admin",
        ),
        (
            &format!("{lms}{scopes}\nacts_for = [\"*@example.org\"]"),
            "clips.services.lms.acts_for: \"*@example.org\" is no user id (1 to 64 characters of A-Z a-z 0-9 and \
             ._-@:|), and not \"*\" for everybody",
        ),
        (
            &format!("{key}[clips.services.\"the lms\"]\n{scopes}"),
            "clips.services: \"the lms\" can't be a token's sub (1 to 64 characters of A-Z a-z 0-9 and ._-@:|)",
        ),
    ]);
    // Nobody's tokens are looked at: it has no meaning, and does no harm.
    assert!(from_toml("[clips]\nservice_audience = \"kaiwa\"").is_ok());
}

#[test]
fn the_hook_is_an_https_url_whose_path_has_a_place_for_the_permission() {
    let hook = |url: &str| format!("[clips.permission_hook]\nurl = \"{url}\"");
    assert!(from_toml(&hook("https://lms.example.org/{permission}")).is_ok());
    for url in [
        "",
        "lms.example.org/{permission}",
        "http://lms.example.org/{permission}",
        "https:///{permission}",
        "https://lms.example.org/permissions",
        "https://lms.example.org/{permission}?tenant=1",
        "https://lms.example.org/{permission} ",
        // Behind a `#` person and room would not be sent.
        "https://lms.example.org/{permission}#x",
        // The permission would choose who is asked.
        "https://{permission}.example.org/",
        "https://somebody@lms.example.org/{permission}",
    ] {
        let says = format!(
            "clips.permission_hook.url: {url:?} is no https URL with {{permission}} in its path and without a user, \
             ? and #, such as https://lms.example.org/permissions/{{permission}}"
        );
        refused(&[(&hook(url), &says)]);
    }
}

/// Settings of Amazon that would do, with these lines in the place of others of that name, or beside them.
fn aws(lines: &str) -> String {
    let mut table: toml::Table = "region = \"eu-west-1\"\nbucket = \"clips\"\n\
         mediaconvert_role = \"arn:aws:iam::111122223333:role/x\"\n"
        .parse()
        .expect("TOML");
    table.extend(lines.parse::<toml::Table>().expect("TOML"));
    format!(
        "[clips]\nbackend = \"aws\"\naws = {}",
        toml::Value::Table(table)
    )
}

#[test]
fn settings_of_amazon_stand_with_amazon_and_are_needed_there() {
    assert!(from_toml(&aws("")).is_ok());
    refused(&[
        (
            &aws("").replace("\"aws\"", "\"embedded\""),
            "clips.aws is for clips.backend = \"aws\"",
        ),
        (
            "[clips]\nbackend = \"aws\"",
            "clips.backend = \"aws\" needs a section [clips.aws] with region, bucket and mediaconvert_role",
        ),
    ]);
}

#[test]
fn names_at_amazon_that_can_not_be_are_refused() {
    let prefix = "clips.aws.queue_prefix: at most 56 of A-Z a-z 0-9 - and _, as in SQS's names";
    let bucket = |name: &str| {
        let says =
            format!("clips.aws.bucket: {name:?} is no bucket's name (3 to 63 of a-z 0-9 - and .)");
        (format!("bucket = {name:?}"), says)
    };
    let table = |name: &str| {
        let says = format!(
            "clips.aws.table: {name:?} is no table's name (3 to 255 of A-Z a-z 0-9 - _ and .)"
        );
        (format!("table = {name:?}"), says)
    };
    let plain = |text: &str, says: &str| (text.to_owned(), says.to_owned());
    let cases = [
        plain(
            "region = \"Tokyo\"",
            "clips.aws.region: \"Tokyo\" is no region, such as eu-west-1",
        ),
        plain(
            "endpoint = \"localhost:4566\"",
            "clips.aws.endpoint: \"localhost:4566\" is no http or https URL",
        ),
        plain(
            "mediaconvert_endpoint = \"ftp://x\"",
            "clips.aws.mediaconvert_endpoint: \"ftp://x\" is no http or https URL",
        ),
        bucket("ab"),
        bucket("Clips"),
        bucket("clips/x"),
        bucket(&"a".repeat(64)),
        plain(
            "upload_role = \"kaiwa-upload\"",
            "clips.aws.upload_role: \"kaiwa-upload\" is no ARN of iam (arn:aws:iam:…)",
        ),
        plain(
            "mediaconvert_role = \"arn:aws:s3:::clips\"",
            "clips.aws.mediaconvert_role: \"arn:aws:s3:::clips\" is no ARN of iam (arn:aws:iam:…)",
        ),
        plain(
            "mediaconvert_queue = \"arn:aws:sqs:eu-west-1:1:q\"",
            "clips.aws.mediaconvert_queue: \"arn:aws:sqs:eu-west-1:1:q\" is no ARN of mediaconvert \
             (arn:aws:mediaconvert:…)",
        ),
        plain("queue_prefix = \"a.b\"", prefix),
        plain(&format!("queue_prefix = \"{}\"", "x".repeat(57)), prefix),
        table("ab"),
        table("clips of ours"),
        plain(
            "ask_after_s = 0",
            "clips.aws.ask_after_s has to be from 1 to 3600",
        ),
        plain(
            "ask_after_s = 3601",
            "clips.aws.ask_after_s has to be from 1 to 3600",
        ),
    ];
    for (line, says) in cases {
        refused(&[(&aws(&line), &says)]);
    }
}

#[test]
fn a_webhook_has_somebody_who_may_call_it_and_two_of_each_at_most() {
    let webhook = |lines: &str| aws(&format!("webhook = {{ {lines} }}"));
    let three = "[\"a\", \"b\", \"c\"]";
    refused(&[
        (
            &webhook(""),
            "clips.aws.webhook: without api_key_files or secret_files nobody may call it",
        ),
        (
            &webhook(&format!("api_key_files = {three}")),
            "clips.aws.webhook.api_key_files: two at most, so that one can replace the other",
        ),
        (
            &webhook(&format!("secret_files = {three}")),
            "clips.aws.webhook.secret_files: two at most, so that one can replace the other",
        ),
    ]);
    assert!(from_toml(&webhook("api_key_files = [\"a\", \"b\"]")).is_ok());
}

#[test]
fn a_mistyped_setting_is_an_unknown_key_that_names_it() {
    for (text, name) in [
        ("[clips]\nmax_byte = 1", "max_byte"),
        ("[clips.services.lms]\nscope = []", "scope"),
        (
            "[clips.services.lms]\nscopes = []\nrole = \"administrator\"",
            "administrator",
        ),
        (
            "[clips.permission_hook]\nurl = \"\"\nsecret = \"x\"",
            "secret",
        ),
        (&aws("webhooks = {}"), "webhooks"),
        ("[clips]\nbackend = \"s3\"", "s3"),
    ] {
        let error = from_toml(text).expect_err(text);
        let cause = std::error::Error::source(&error)
            .expect("a cause")
            .to_string();
        assert!(cause.contains(name), "{text}: {cause}");
    }
}

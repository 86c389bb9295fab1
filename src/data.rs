//! The data folder: made at first start, for its owner only, with the secrets in it.

use crate::config::Auth;
use anyhow::{Context as _, bail};
use kaiwa_common::redact::Secret;
use kaiwa_common::token::TokenKey;
use kaiwa_signaling::edge::tls::Files;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// HS256's own size (RFC 7518, section 3.2).
const SECRET_BYTES: usize = 32;

/// The folder in which one server keeps everything.
pub(crate) struct DataDir {
    path: PathBuf,
}

impl DataDir {
    /// Opens the folder, making it the first time.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("the data folder {} can't be made", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Where the database is.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join("kaiwa.db")
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The key that signs and checks tokens.
    pub(crate) fn token_key(&self, auth: &Auth) -> anyhow::Result<TokenKey> {
        let (path, secret) = match &auth.secret_file {
            Some(path) => (path.clone(), read_secret(path)?),
            None => {
                let path = self.path.join("token-secret");
                let secret = read_or_make_secret(&path)?;
                (path, secret)
            }
        };
        TokenKey::hs256(&secret, &auth.audience, auth.issuer.as_deref())
            .with_context(|| format!("the secret in {}", path.display()))
    }

    /// Random bytes that sign something of this server's own; made the first time.
    pub(crate) fn secret(&self, name: &str) -> anyhow::Result<Secret<Vec<u8>>> {
        read_or_make_secret(&self.path.join(name))
    }

    /// Those that somebody has put there, if anybody has.
    pub(crate) fn secret_if_there(&self, name: &str) -> anyhow::Result<Option<Secret<Vec<u8>>>> {
        let path = self.path.join(name);
        path.exists().then(|| read_secret(&path)).transpose()
    }

    /// A secret line of text, such as the key that push services know this server by; made the first time.
    pub(crate) fn secret_text(
        &self,
        name: &str,
        make: impl FnOnce() -> anyhow::Result<Secret<String>>,
    ) -> anyhow::Result<Secret<String>> {
        let path = self.path.join(name);
        if !path.exists() {
            let made = make()?;
            match write_new(&path, made.expose().as_bytes()) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    let about = || format!("the secret {} can't be made", path.display());
                    return Err(error).with_context(about);
                }
                Ok(()) | Err(_) => {}
            }
        }
        read_secret_text(&path)
    }

    /// A certificate signed by itself, made the first time.
    pub(crate) fn self_signed(&self, ip: &IpAddr, hosts: &[String]) -> anyhow::Result<Files> {
        let files = Files {
            certificate: self.path.join("self-signed-certificate.pem"),
            key: self.path.join("self-signed-key.pem"),
        };
        if files.certificate.exists() && files.key.exists() {
            return Ok(files);
        }
        let mut names = vec![
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
        ];
        if !ip.is_unspecified() && !ip.is_loopback() {
            names.push(ip.to_string());
        }
        names.extend(hosts.iter().cloned());
        let made = rcgen::generate_simple_self_signed(names).context("no certificate was made")?;
        replace(&files.key, made.signing_key.serialize_pem().as_bytes())?;
        replace(&files.certificate, made.cert.pem().as_bytes())?;
        Ok(files)
    }
}

fn read_or_make_secret(path: &Path) -> anyhow::Result<Secret<Vec<u8>>> {
    let mut secret = vec![0_u8; SECRET_BYTES];
    getrandom::fill(&mut secret).context("the operating system gives no random bytes")?;
    match write_new(path, &secret) {
        Ok(()) => Ok(Secret::new(secret)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read_secret(path),
        Err(error) => {
            Err(error).with_context(|| format!("the secret {} can't be made", path.display()))
        }
    }
}

/// A secret that is text, such as a key in PEM; refused when others can read the file.
pub(crate) fn read_secret_text(path: &Path) -> anyhow::Result<Secret<String>> {
    let bytes = read_secret(path)?;
    let text = String::from_utf8(bytes.expose().clone());
    let text = text.map_err(|_| anyhow::anyhow!("{} is no text", path.display()))?;
    Ok(Secret::new(text.trim().to_owned()))
}

/// A secret; refused when others can read the file.
pub(crate) fn read_secret(path: &Path) -> anyhow::Result<Secret<Vec<u8>>> {
    let about = || format!("the secret {}", path.display());
    let mode = fs::metadata(path).with_context(about)?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!(
            "{} can be read by others: chmod 600 {}",
            about(),
            path.display()
        );
    }
    Ok(Secret::new(fs::read(path).with_context(about)?))
}

/// Writes a file that only its owner can read, and only whole: a half-written secret would be read
/// as a secret. Fails when it exists.
fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let draft = draft(path);
    write_private(&draft, bytes)?;
    // Unlike a rename, a link does not replace what another process has just put there.
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    linked?;
    sync_folder(path)
}

fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let draft = draft(path);
    write_private(&draft, bytes)
        .and_then(|()| fs::rename(&draft, path))
        .and_then(|()| sync_folder(path))
        .with_context(|| format!("{} can't be written", path.display()))
}

fn draft(path: &Path) -> PathBuf {
    path.with_extension(format!("new-{}", std::process::id()))
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => fs::File::open(folder)?.sync_all(),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_is_made_once_and_for_the_owner_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/data");
        let first = DataDir::open(&path).expect("made");
        first.token_key(&Auth::default()).expect("a key");
        let secret = fs::read(path.join("token-secret")).expect("there");
        first.token_key(&Auth::default()).expect("the same key");
        assert_eq!(fs::read(path.join("token-secret")).expect("there"), secret);
        assert_eq!(secret.len(), SECRET_BYTES);
        for (name, mode) in [("", 0o700), ("token-secret", 0o600)] {
            let metadata = fs::metadata(path.join(name)).expect("there");
            assert_eq!(metadata.permissions().mode() & 0o777, mode, "{name}");
        }
        assert_eq!(
            fs::read_dir(&path).expect("a folder").count(),
            1,
            "no draft is left"
        );
    }

    #[test]
    fn a_secret_line_is_made_once_and_kept_for_the_owner_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = DataDir::open(folder.path()).expect("opened");
        let get = |made: &str| {
            let made = Secret::new(made.to_owned());
            let kept = data.secret_text("vapid-key", || Ok(made)).expect("a text");
            kept.expose().clone()
        };
        assert_eq!(get("first"), "first");
        assert_eq!(
            get("second"),
            "first",
            "with another key subscriptions are dead"
        );
        let metadata = fs::metadata(folder.path().join("vapid-key")).expect("there");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = DataDir::open(folder.path()).expect("opened");
        data.token_key(&Auth::default()).expect("a key");
        let path = folder.path().join("token-secret");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changed");
        let error = data.token_key(&Auth::default()).expect_err("refused");
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
}

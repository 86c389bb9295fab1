//! Puts the built web app (`web/dist`) into the binary, if it is there.

use std::collections::hash_map::DefaultHasher;
use std::error::Error;
use std::fmt::Write as _;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let dist = root.join("web/dist");
    println!("cargo:rerun-if-changed={}", root.join("build.rs").display());
    // A folder that is not there is looked for at each build, which is how its arrival is noticed.
    println!("cargo:rerun-if-changed={}", dist.display());

    let mut files = Vec::new();
    collect(&dist, &mut files)?;
    files.sort();
    let mut table = String::from("&[\n");
    for file in files {
        let path = file
            .strip_prefix(&dist)?
            .to_str()
            .ok_or("a file name that is not UTF-8")?;
        let mut hasher = DefaultHasher::new();
        std::fs::read(&file)?.hash(&mut hasher);
        writeln!(
            table,
            "    Asset {{ path: {path:?}, media_type: {:?}, etag: {:?}, bytes: include_bytes!({:?}) }},",
            media_type(path),
            format!("\"{:016x}\"", hasher.finish()),
            file.to_str().ok_or("a path that is not UTF-8")?,
        )?;
    }
    table.push(']');
    std::fs::write(
        PathBuf::from(std::env::var("OUT_DIR")?).join("assets.rs"),
        table,
    )?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?
        } else {
            files.push(path)
        }
    }
    Ok(())
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

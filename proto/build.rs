//! Compiles the schemas without `protoc`: protox parses them, prost and pbjson generate.

use prost::Message as _;
use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=kaiwa");
    let descriptors = protox::compile(
        [
            "kaiwa/client/v1/client.proto",
            "kaiwa/media/v1/media.proto",
            "kaiwa/notify/v1/notify.proto",
        ],
        ["."],
    )?;
    pbjson_build::Builder::new()
        .register_descriptors(&descriptors.encode_to_vec())?
        .ignore_unknown_fields()
        .build(&[".kaiwa.client.v1", ".kaiwa.media.v1"])?;
    // Reflection, the OpenAPI document and the test against breaking changes read the schema itself.
    let media = protox::compile(["kaiwa/media/v1/media.proto"], ["."])?;
    let media_file = PathBuf::from(env::var("OUT_DIR")?).join("kaiwa.media.v1.bin");
    fs::write(media_file, media.encode_to_vec())?;
    let services = "#[cfg(feature = \"grpc\")]";
    tonic_prost_build::configure()
        .build_transport(false)
        .server_mod_attribute("kaiwa.media.v1", services)
        .client_mod_attribute("kaiwa.media.v1", services)
        // Few messages are a clip's: the others do not carry its fields through memory.
        .boxed(".kaiwa.client.v1.MessagePosted.clip")
        .boxed(".kaiwa.client.v1.ClipChanged.clip")
        .boxed(".kaiwa.client.v1.Message.clip")
        .compile_fds(descriptors)?;
    Ok(())
}

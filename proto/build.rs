//! Compiles the schemas without `protoc`: protox parses them, prost and pbjson generate.

use prost::Message as _;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=kaiwa");
    let descriptors = protox::compile(
        [
            "kaiwa/client/v1/client.proto",
            "kaiwa/notify/v1/notify.proto",
        ],
        ["."],
    )?;
    pbjson_build::Builder::new()
        .register_descriptors(&descriptors.encode_to_vec())?
        .ignore_unknown_fields()
        .build(&[".kaiwa.client.v1"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}

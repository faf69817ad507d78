//! Tells the binaries and tests of this package where libtorch lies, so that
//! they start without `LD_LIBRARY_PATH`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    // Without LIBTORCH the build fetched its own libtorch, and cargo lets
    // `run` and `test` find it.
    if let Ok(libtorch) = std::env::var("LIBTORCH") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
}

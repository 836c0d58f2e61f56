//! What TLS is spoken, at both ends of a connection: versions 1.3 and 1.2, of which the provider has the AEAD suites only.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ConfigBuilder, ConfigSide, ServerConfig, WantsVerifier, WantsVersions};

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

pub(crate) fn client() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    versions(ClientConfig::builder_with_provider(provider()))
}

pub(crate) fn server() -> ConfigBuilder<ServerConfig, WantsVerifier> {
    versions(ServerConfig::builder_with_provider(provider()))
}

fn versions<Side: ConfigSide>(builder: ConfigBuilder<Side, WantsVersions>) -> ConfigBuilder<Side, WantsVerifier> {
    builder.with_protocol_versions(&[&TLS13, &TLS12]).expect("the provider has suites of both versions")
}

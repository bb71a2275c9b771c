// SPDX-License-Identifier: MIT OR Apache-2.0
//! TLS to the proxy and the authorization server. It always verifies certificates, against the operator's authorities
//! or the system's.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};
use rustls_platform_verifier::BuilderVerifierExt;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use crate::transport::Server;

/// The settings of all connections of one run.
pub fn settings(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS cannot be set up: {e}"))?;
    let builder = match ca_file {
        Some(file) => builder.with_root_certificates(roots(file)?),
        None => builder.with_platform_verifier().map_err(|e| {
            format!("the system's certification authorities cannot be read ({e}); name some with --ca-file")
        })?,
    };
    Ok(Arc::new(builder.with_no_client_auth()))
}

/// The same for https.
pub fn http_settings(ca_file: Option<&Path>) -> Result<TlsConfig, String> {
    let roots = match ca_file {
        Some(file) => {
            // This reports a certificate that cannot be used, as for the other connections.
            roots(file)?;
            let own: Vec<_> = certificates(file)?.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
            RootCerts::new_with_certs(&own)
        }
        None => RootCerts::PlatformVerifier,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = TlsConfig::builder().provider(TlsProvider::Rustls).unversioned_rustls_crypto_provider(provider);
    Ok(builder.root_certs(roots).build())
}

fn roots(file: &Path) -> Result<RootCertStore, String> {
    let name = file.display();
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|e| format!("--ca-file {name} has a certificate that cannot be used: {e}"))?;
    }
    if roots.is_empty() {
        return Err(format!("--ca-file {name} has no certificate; it must be PEM with BEGIN CERTIFICATE"));
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let name = file.display();
    let pem = std::fs::read(file).map_err(|e| format!("--ca-file {name} cannot be read: {e}"))?;
    let all = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>();
    all.map_err(|e| format!("--ca-file {name} is not PEM: {e:?}"))
}

/// Reads a server's certificate and its private key, as the server does at its start. The error begins with the name of the
/// setting.
pub fn check_server(certificate: &str, key: &str) -> Result<(), String> {
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|e| format!("certificate_file: {certificate}: {e}"))?;
    if chain.is_empty() {
        return Err(format!("certificate_file: {certificate}: there is no BEGIN CERTIFICATE in it"));
    }
    let wrong = |e: &dyn std::fmt::Display| format!("key_file: {key}: {e}");
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| wrong(&e))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|e| wrong(&e))?.with_no_client_auth();
    config.with_single_cert(chain, private).map(drop).map_err(|e| wrong(&e))
}

/// Does the TLS handshake over a connected stream.
pub fn connect<S: Read + Write>(
    settings: &Arc<ClientConfig>,
    server: &Server,
    mut stream: S,
) -> Result<Box<StreamOwned<ClientConnection, S>>, String> {
    let failed = |why: String| format!("TLS with {server} failed: {why}; check --server and --ca-file");
    let name = ServerName::try_from(server.host.clone()).map_err(|e| failed(e.to_string()))?;
    let mut session = ClientConnection::new(Arc::clone(settings), name).map_err(|e| failed(e.to_string()))?;
    while session.is_handshaking() {
        session.complete_io(&mut stream).map_err(|e| failed(e.to_string()))?;
    }
    Ok(Box::new(StreamOwned::new(session, stream)))
}

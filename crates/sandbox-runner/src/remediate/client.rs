//! The client of the executor: built from the projected token, the CA and the service's address alone. No kubeconfig, proxy or other
//! variable is read. Called by `mod`.

use firewatch_core::sandbox::job::TOKEN_DIR;
use kube::config::AuthInfo;
use kube::{Client, Config};

use super::Fault;
use crate::kubeconfig::ApiServer;

/// A client; `retry`: whether it repeats what the server was too busy for. A claim is never repeated.
pub fn connect(server: &ApiServer, retry: bool) -> Result<Client, Fault> {
    // Another provider that is there already would be as good; there is none.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let fault = |error: String| Fault::NoApiServer(error);
    let mut config = Config::new(
        server
            .url()
            .parse()
            .map_err(|error| fault(format!("the API server's address is no address: {error}")))?,
    );
    config.root_cert_file = Some(format!("{TOKEN_DIR}/ca.crt").into());
    config.auth_info = AuthInfo {
        token_file: Some(format!("{TOKEN_DIR}/token")),
        ..AuthInfo::default()
    };
    config.read_timeout = Some(std::time::Duration::from_secs(20));
    config.default_retry = retry;
    Client::try_from(config).map_err(|error| fault(error.to_string()))
}

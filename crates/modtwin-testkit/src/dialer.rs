//! TLS to a hub: whom to trust, what to show in the handshake, and the name to send and to verify.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_openssl::SslStream;

/// How long TCP and the handshake may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Whom a client trusts.
#[derive(Debug, Clone)]
pub enum Trust {
    /// The authorities of a PEM file and nobody else.
    File(PathBuf),
    /// The system's authorities.
    System,
}

impl Trust {
    /// Begins a client's TLS settings.
    ///
    /// # Errors
    ///
    /// Where the file can't be read.
    pub fn client(&self) -> anyhow::Result<SslConnectorBuilder> {
        let mut connector =
            SslConnector::builder(SslMethod::tls_client()).context("cannot set up TLS")?;
        if let Self::File(path) = self {
            let read = || format!("cannot read `{}`", path.display());
            let text = std::fs::read(path).with_context(read)?;
            // The connector's own store begins with the system's.
            let mut store = X509StoreBuilder::new().context("cannot set up TLS")?;
            for authority in X509::stack_from_pem(&text).with_context(read)? {
                store.add_cert(authority).with_context(read)?;
            }
            connector.set_cert_store(store.build());
        }
        Ok(connector)
    }
}

/// A key with the certificates to show for it, the leaf first.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The certificates.
    pub chain: Vec<X509>,
    /// The leaf's key.
    pub key: PKey<Private>,
}

/// Dials one hub as often as wanted.
#[derive(Debug, Clone)]
pub struct Dialer {
    address: SocketAddr,
    host: String,
    connector: SslConnector,
}

impl Dialer {
    /// A dialer of `address` that sends and verifies the name `host`.
    ///
    /// # Errors
    ///
    /// Where those to trust can't be read, or what is shown does not fit together.
    pub fn new(
        address: SocketAddr,
        host: &str,
        trust: &Trust,
        shown: Option<&Shown>,
    ) -> anyhow::Result<Self> {
        let mut connector = trust.client()?;
        if let Some(shown) = shown {
            connector.set_private_key(&shown.key).context("cannot use the key")?;
            let (leaf, rest) = shown.chain.split_first().context("no certificate to show")?;
            connector.set_certificate(leaf).context("cannot use the certificate")?;
            for certificate in rest {
                connector
                    .add_extra_chain_cert(certificate.clone())
                    .context("cannot use the chain")?;
            }
        }
        Ok(Self::with(address, host, connector))
    }

    /// A dialer with TLS settings of the caller's own.
    #[must_use]
    pub fn with(address: SocketAddr, host: &str, connector: SslConnectorBuilder) -> Self {
        Self { address, host: host.to_owned(), connector: connector.build() }
    }

    /// The name it sends and verifies.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address it dials.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connects TCP and shakes hands.
    ///
    /// # Errors
    ///
    /// Where the hub can't be reached, is not who it should be, or refuses the handshake.
    pub async fn dial(&self) -> anyhow::Result<SslStream<TcpStream>> {
        self.dial_sending(true).await
    }

    /// As [`Dialer::dial`]; `with_name` says whether the name goes into the handshake (SNI). It is
    /// verified in any case.
    ///
    /// # Errors
    ///
    /// As for [`Dialer::dial`].
    pub async fn dial_sending(&self, with_name: bool) -> anyhow::Result<SslStream<TcpStream>> {
        let handshake = async {
            let tcp = TcpStream::connect(self.address)
                .await
                .with_context(|| format!("cannot reach {}", self.address))?;
            tcp.set_nodelay(true).context("cannot set TCP_NODELAY")?;
            let ssl = self
                .connector
                .configure()
                .map(|ssl| ssl.use_server_name_indication(with_name))
                .and_then(|ssl| ssl.into_ssl(&self.host))
                .context("cannot set up TLS")?;
            let mut tls = SslStream::new(ssl, tcp).context("cannot set up TLS")?;
            Pin::new(&mut tls).connect().await.context("the TLS handshake failed")?;
            Ok(tls)
        };
        timeout(LIMIT, handshake)
            .await
            .map_err(|_| anyhow!("{} did not shake hands within {LIMIT:?}", self.address))?
    }
}

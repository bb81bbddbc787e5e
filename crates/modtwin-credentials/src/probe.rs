//! A handshake made for its verdict: says why a hub cannot be reached or is not trusted.
//!
//! Owns telling apart the network, the server's certificate and the rest. Sends no credential.
//! There is no switch that turns verification off.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{
    HandshakeError, MidHandshakeSslStream, Ssl, SslContext, SslContextBuilder, SslMethod,
    SslVerifyMode, SslVersion,
};
use openssl::x509::verify::X509CheckFlags;
use openssl::x509::{X509StoreContextRef, X509VerifyResult};

use crate::date::{self, Date};
use crate::description::show_name;
use crate::file;
use crate::module_credential::Loaded;

/// What to probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeTarget {
    /// The addresses that the name was resolved to, with the port, in the order to try.
    pub addresses: Vec<SocketAddr>,
    /// The name to send as SNI and to verify.
    pub server_name: String,
    /// A PEM file with the only authorities to trust; none means the system's.
    pub trusted_ca: Option<PathBuf>,
    /// How long it may take, everything included.
    pub timeout: Duration,
}

/// How far a probe came before its time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// No address took the TCP connection.
    Connect,
    /// The server took the connection and did not finish the handshake.
    Handshake,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "TCP connect",
            Self::Handshake => "TLS handshake",
        })
    }
}

/// Why a probe failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No connection, or it was lost in the handshake.
    #[error("cannot connect")]
    Network(#[source] io::Error),
    /// The time was over.
    #[error("no answer within {}", humantime::format_duration(*timeout))]
    Timeout {
        /// What was being waited for.
        stage: Stage,
        /// How long was waited.
        timeout: Duration,
    },
    /// No trusted authority vouches for the server.
    #[error("the server's certificate is not trusted: {detail}")]
    TlsUntrusted {
        /// What OpenSSL said, and whose certificate it was.
        detail: String,
    },
    /// The server's certificate is for another name.
    #[error("the server's certificate is not for `{server_name}`: {detail}")]
    TlsHostName {
        /// The name that was asked for.
        server_name: String,
        /// Whose certificate it was.
        detail: String,
    },
    /// A certificate of the server's chain has expired.
    #[error("the server's certificate expired on {not_after}; is this machine's clock right?")]
    TlsExpiredServer {
        /// When its time ended.
        not_after: Date,
    },
    /// A certificate of the server's chain is not valid yet.
    #[error("the server's certificate is valid from {not_before}; is this machine's clock right?")]
    TlsNotYetValidServer {
        /// When its time begins.
        not_before: Date,
    },
    /// The file with the trusted authorities cannot be used.
    #[error("cannot use the trusted authorities in `{path}`")]
    TrustedCa {
        /// The file.
        path: PathBuf,
        /// What OpenSSL said.
        source: ErrorStack,
    },
    /// Anything else that TLS can fail for.
    #[error("the TLS handshake failed: {detail}")]
    TlsOther {
        /// What OpenSSL said.
        detail: String,
    },
}

impl ProbeError {
    /// Says whether the server was reached and TLS is what failed.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        !matches!(self, Self::Network(_) | Self::Timeout { .. })
    }
}

/// Connects to a server and shakes hands, verifying it as the link would; then hangs up.
///
/// Blocks for at most the target's timeout.
///
/// # Errors
///
/// [`ProbeError`] says at which stage and why.
pub fn probe(target: &ProbeTarget) -> Result<(), ProbeError> {
    let deadline = Deadline::after(target.timeout);
    let verdict = Verdict::default();
    let session = probing_session(target, &verdict)?;
    let stream = DeadlineStream { stream: connect(target, deadline)?, deadline };
    match session.connect(stream) {
        Ok(mut stream) => {
            // Politeness only: the verdict is in.
            let _ = stream.shutdown();
            Ok(())
        }
        Err(HandshakeError::SetupFailure(error)) => {
            Err(ProbeError::TlsOther { detail: error.to_string() })
        }
        Err(HandshakeError::Failure(failed) | HandshakeError::WouldBlock(failed)) => {
            Err(explain(target, &verdict, &failed))
        }
    }
}

/// A TLS session for a client that is to be connected to `server_name`: the name goes into SNI and
/// is verified, and nobody but the authorities of `trusted_ca`, or the system's, is trusted.
///
/// # Errors
///
/// [`ProbeError::TrustedCa`] where that file cannot be used.
pub fn client_session(server_name: &str, trusted_ca: Option<&Path>) -> Result<Ssl, ProbeError> {
    session(server_name, context(trusted_ca)?)
}

/// The same for a module: it shows its certificate, where its credential is one.
///
/// Blocks on the credential's files.
///
/// # Errors
///
/// [`ProbeError::TrustedCa`] where that file cannot be used, [`ProbeError::TlsOther`] where OpenSSL
/// refuses the credential.
pub fn module_session(
    server_name: &str,
    trusted_ca: Option<&Path>,
    credential: &Loaded,
) -> Result<Ssl, ProbeError> {
    let mut context = context(trusted_ca)?;
    if let Loaded::X509 { certificate, private_key, password, .. } = credential {
        let pem = file::read_secret(private_key)
            .map_err(|error| ProbeError::TlsOther { detail: error.to_string() })?;
        // An empty password, and not none at all: OpenSSL must not ask the terminal.
        let password = password.as_ref().map_or("", |password| password.expose());
        let pem = pem.expose().as_bytes();
        let key = PKey::private_key_from_pem_passphrase(pem, password.as_bytes()).map_err(other)?;
        context.set_certificate_chain_file(certificate).map_err(other)?;
        context.set_private_key(&key).map_err(other)?;
    }
    session(server_name, context)
}

/// A session of which every doubt about the server's certificate is noted.
fn probing_session(target: &ProbeTarget, verdict: &Verdict) -> Result<Ssl, ProbeError> {
    let mut context = context(target.trusted_ca.as_deref())?;
    let verdict = verdict.clone();
    context.set_verify_callback(SslVerifyMode::PEER, move |good, context| {
        if !good {
            verdict.note(context);
        }
        good
    });
    session(&target.server_name, context)
}

/// What trusts those authorities and nobody else. Not from `SslConnector`, which begins by reading
/// all of the system's authorities: ten megabytes of heap for nothing, most of which the process
/// would never give back.
fn context(trusted_ca: Option<&Path>) -> Result<SslContextBuilder, ProbeError> {
    let mut context = SslContext::builder(SslMethod::tls_client()).map_err(other)?;
    context.set_verify(SslVerifyMode::PEER);
    context.set_min_proto_version(Some(SslVersion::TLS1_2)).map_err(other)?;
    match trusted_ca {
        Some(path) => context
            .set_ca_file(path)
            .map_err(|source| ProbeError::TrustedCa { path: path.to_owned(), source })?,
        None => context.set_default_verify_paths().map_err(other)?,
    }
    Ok(context)
}

fn session(server_name: &str, context: SslContextBuilder) -> Result<Ssl, ProbeError> {
    let mut ssl = Ssl::new(&context.build()).map_err(other)?;
    verify_name(&mut ssl, server_name).map_err(other)?;
    Ok(ssl)
}

fn other(error: ErrorStack) -> ProbeError {
    ProbeError::TlsOther { detail: error.to_string() }
}

/// Sends the name as SNI and has it verified. An IP address is no name for SNI (RFC 6066, 3).
fn verify_name(ssl: &mut Ssl, name: &str) -> Result<(), ErrorStack> {
    ssl.param_mut().set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS);
    match name.parse::<IpAddr>() {
        Ok(address) => ssl.param_mut().set_ip(address),
        Err(_no_address) => {
            ssl.set_hostname(name)?;
            ssl.param_mut().set_host(name)
        }
    }
}

/// Connects to the first address that answers; each gets its share of the time that is left.
fn connect(target: &ProbeTarget, deadline: Deadline) -> Result<TcpStream, ProbeError> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut left = u32::try_from(target.addresses.len()).unwrap_or(u32::MAX);
    for address in &target.addresses {
        let share = deadline.remaining().map(|remaining| remaining / left.max(1));
        left = left.saturating_sub(1);
        let share = share.and_then(|share| match share {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            share => Ok(share),
        });
        match share.and_then(|share| TcpStream::connect_timeout(address, share)) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(failed_at(Stage::Connect, target.timeout, last))
}

fn failed_at(stage: Stage, timeout: Duration, error: io::Error) -> ProbeError {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            ProbeError::Timeout { stage, timeout }
        }
        _ => ProbeError::Network(error),
    }
}

/// Turns a failed handshake into its reason.
fn explain(
    target: &ProbeTarget,
    verdict: &Verdict,
    failed: &MidHandshakeSslStream<DeadlineStream>,
) -> ProbeError {
    if let Some(refusal) = verdict.take() {
        return refusal.into_error(target);
    }
    let error = failed.error();
    match error.io_error() {
        Some(cause) => {
            let cause = io::Error::new(cause.kind(), cause.to_string());
            failed_at(Stage::Handshake, target.timeout, cause)
        }
        None if error.ssl_error().is_none_or(ended) => ProbeError::Network(closed()),
        None => ProbeError::TlsOther { detail: error.to_string() },
    }
}

/// Says whether OpenSSL failed for the stream's end: it then has that error, or none at all
/// (SSL_get_error(3), `SSL_ERROR_SSL` and `SSL_ERROR_SYSCALL`).
fn ended(stack: &ErrorStack) -> bool {
    stack.errors().iter().all(|error| error.reason_code() == UNEXPECTED_EOF)
}

fn closed() -> io::Error {
    let text = "the server, or something on the way, hung up during the TLS handshake";
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

/// What verification found. Shared with OpenSSL's callback, which outlives the call that sets it;
/// one thread only ever holds it, and never for long.
#[derive(Debug, Clone, Default)]
struct Verdict(Arc<Mutex<Option<Refusal>>>);

impl Verdict {
    fn note(&self, context: &X509StoreContextRef) {
        let refusal = Refusal::of(context);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(refusal);
    }

    fn take(&self) -> Option<Refusal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Why verification refused a chain.
#[derive(Debug)]
struct Refusal {
    result: X509VerifyResult,
    certificate: String,
    validity: Option<(Date, Date)>,
}

// X509_STORE_CTX_get_error(3); the numbers are those of OpenSSL's x509_vfy.h.
const NOT_YET_VALID: i32 = 9;
const HAS_EXPIRED: i32 = 10;
const HOSTNAME_MISMATCH: i32 = 62;
const IP_ADDRESS_MISMATCH: i32 = 64;

/// `SSL_R_UNEXPECTED_EOF_WHILE_READING` of OpenSSL's sslerr.h.
const UNEXPECTED_EOF: i32 = 294;

impl Refusal {
    fn of(context: &X509StoreContextRef) -> Self {
        let certificate = context.current_cert();
        let validity = certificate.and_then(|certificate| {
            let not_before = date::from_asn1(certificate.not_before()).ok()?;
            let not_after = date::from_asn1(certificate.not_after()).ok()?;
            Some((Date(not_before), Date(not_after)))
        });
        let certificate = certificate.map_or_else(String::new, |certificate| {
            let subject = show_name(certificate.subject_name());
            let issuer = show_name(certificate.issuer_name());
            format!("the certificate of `{subject}`, signed by `{issuer}`")
        });
        Self { result: context.error(), certificate, validity }
    }

    fn into_error(self, target: &ProbeTarget) -> ProbeError {
        let Self { result, certificate, validity } = self;
        match (result.as_raw(), validity) {
            (HAS_EXPIRED, Some((_, not_after))) => ProbeError::TlsExpiredServer { not_after },
            (NOT_YET_VALID, Some((not_before, _))) => {
                ProbeError::TlsNotYetValidServer { not_before }
            }
            (HOSTNAME_MISMATCH | IP_ADDRESS_MISMATCH, _) => ProbeError::TlsHostName {
                server_name: target.server_name.clone(),
                detail: format!("it is {certificate}"),
            },
            _ => ProbeError::TlsUntrusted {
                detail: format!("{} ({certificate})", result.error_string()),
            },
        }
    }
}

/// The moment at which everything must be over.
#[derive(Debug, Clone, Copy)]
struct Deadline(Instant);

impl Deadline {
    fn after(timeout: Duration) -> Self {
        // A day, where the sum cannot be written: nobody waits that long.
        let now = Instant::now();
        Self(now.checked_add(timeout).unwrap_or(now + Duration::from_secs(86_400)))
    }

    /// The time that is left.
    fn remaining(self) -> io::Result<Duration> {
        match self.0.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            remaining => Ok(remaining),
        }
    }
}

/// A stream whose every read and write ends at the deadline, however slowly a peer trickles.
#[derive(Debug)]
struct DeadlineStream {
    stream: TcpStream,
    deadline: Deadline,
}

impl Read for DeadlineStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.deadline.remaining()?))?;
        self.stream.read(buffer)
    }
}

impl Write for DeadlineStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.deadline.remaining()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests;

//! Judging client certificates: thumbprint, common name, dates and chain, by the hub's clock.

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509Ref, X509StoreContext};

use crate::clock::Moment;

/// Holds what a client showed in the handshake.
#[derive(Clone, Debug)]
pub(crate) struct ClientChain {
    pub(crate) leaf: X509,
    /// The intermediates it sent along.
    pub(crate) rest: Vec<X509>,
}

impl ClientChain {
    /// Says whether `thumbprint`, SHA-1 or SHA-256 in hex, is the leaf's; letter case does not count.
    pub(crate) fn has_thumbprint(&self, thumbprint: &str) -> bool {
        let digest =
            if thumbprint.len() == 40 { MessageDigest::sha1() } else { MessageDigest::sha256() };
        self.thumbprint(digest).is_some_and(|own| own.eq_ignore_ascii_case(thumbprint))
    }

    /// Gives the leaf's SHA-256 thumbprint in hex, empty when it can't be made.
    pub(crate) fn sha256(&self) -> String {
        self.thumbprint(MessageDigest::sha256()).unwrap_or_default()
    }

    /// Gives the leaf's SHA-1 thumbprint in hex, empty when it can't be made.
    pub(crate) fn sha1(&self) -> String {
        self.thumbprint(MessageDigest::sha1()).unwrap_or_default()
    }

    fn thumbprint(&self, digest: MessageDigest) -> Option<String> {
        let digest = self.leaf.digest(digest).ok()?;
        Some(digest.iter().map(|byte| format!("{byte:02X}")).collect())
    }

    /// Gives the leaf's common name; none if there is no or more than one.
    pub(crate) fn common_name(&self) -> Option<String> {
        let mut names = self.leaf.subject_name().entries_by_nid(Nid::COMMONNAME);
        let name = names.next()?.data().to_string().ok()?;
        names.next().is_none().then_some(name)
    }

    /// Checks the leaf's dates.
    pub(crate) fn check_dates(&self, now: Moment) -> Result<(), String> {
        let now = asn1(now)?;
        check_dates(&self.leaf, &now, "certificate")
    }

    /// Checks that a registered CA signed the leaf, over the intermediates sent along, and the dates of the whole
    /// chain. A registered CA need not be a root: the hub takes any CA certificate it was given.
    pub(crate) fn check_chain(&self, authorities: &[X509], now: Moment) -> Result<(), String> {
        let chain = self
            .chain(authorities)
            .map_err(|error| format!("certificate chain can't be checked: {error}"))??;
        let now = asn1(now)?;
        chain
            .iter()
            .try_for_each(|certificate| check_dates(certificate, &now, "certificate in the chain"))
    }

    /// Builds the chain without looking at dates, which the hub's own clock is asked about.
    fn chain(
        &self,
        authorities: &[X509],
    ) -> Result<Result<Vec<X509>, String>, openssl::error::ErrorStack> {
        let mut store = X509StoreBuilder::new()?;
        for authority in authorities {
            store.add_cert(authority.clone())?;
        }
        let mut rules = X509VerifyParam::new()?;
        rules.set_flags(X509VerifyFlags::NO_CHECK_TIME | X509VerifyFlags::PARTIAL_CHAIN)?;
        store.set_param(&rules)?;
        let store = store.build();
        let mut rest = Stack::new()?;
        for certificate in &self.rest {
            rest.push(certificate.clone())?;
        }
        let mut context = X509StoreContext::new()?;
        context.init(&store, &self.leaf, &rest, |context| {
            if !context.verify_cert()? {
                return Ok(Err(format!(
                    "certificate chain refused: {}",
                    context.error().error_string()
                )));
            }
            Ok(Ok(context
                .chain()
                .map(|chain| chain.iter().map(ToOwned::to_owned).collect())
                .unwrap_or_default()))
        })
    }
}

fn asn1(now: Moment) -> Result<Asn1Time, String> {
    Asn1Time::from_str_x509(&now.asn1())
        .map_err(|error| format!("the hub's clock is out of range: {error}"))
}

fn check_dates(certificate: &X509Ref, now: &Asn1TimeRef, what: &str) -> Result<(), String> {
    if certificate.not_before() > now {
        return Err(format!("{what} not yet valid: valid from {}", certificate.not_before()));
    }
    if certificate.not_after() < now {
        return Err(format!("{what} expired: valid until {}", certificate.not_after()));
    }
    Ok(())
}

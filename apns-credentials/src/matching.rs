//! Which key belongs to which certificate, and which certificates stand behind it.

use std::sync::Arc;

use crate::{Identity, certificate::Certificate, error::IdentityError, material::Material};

/// Every certificate whose key is there too, each with its chain; never empty.
pub(crate) fn identities(material: Material) -> Result<Vec<Identity>, IdentityError> {
    let Material { certificates, keys, key_trouble, is_pkcs12, other_labels, .. } = material;
    let certificates: Vec<_> = certificates.into_iter().map(Arc::new).collect();
    let Some(first) = certificates.first() else {
        return Err(match (keys.is_empty(), key_trouble) {
            (false, _) if is_pkcs12 => IdentityError::Pkcs12WithoutCertificate,
            (true, None) if other_labels.is_empty() => IdentityError::Empty,
            (true, None) => IdentityError::UnexpectedPem { labels: other_labels },
            // It could be opened with more effort, which would be in vain.
            (true, Some(IdentityError::PasswordRequired { .. } | IdentityError::LegacyEncryption { .. }))
            | (false, _) => IdentityError::KeyWithoutCertificate,
            (true, Some(trouble)) => trouble,
        });
    };
    let found: Vec<_> = certificates
        .iter()
        .filter_map(|leaf| {
            let key = keys.iter().find_map(|key| key.for_certificate(leaf))?;
            Some(Identity::new(chain(leaf, &certificates), key))
        })
        .collect();
    if !found.is_empty() {
        return Ok(without_renewed(found));
    }
    Err(match key_trouble {
        Some(trouble) => trouble,
        None if keys.is_empty() => IdentityError::CertificateWithoutKey { subject: first.subject().to_owned() },
        None => IdentityError::KeyMismatch {
            subjects: certificates.iter().map(|certificate| certificate.subject().to_owned()).collect(),
        },
    })
}

/// The leaf, then each issuer that is there.
fn chain(leaf: &Arc<Certificate>, certificates: &[Arc<Certificate>]) -> Vec<Arc<Certificate>> {
    let mut chain = vec![Arc::clone(leaf)];
    let mut last = leaf;
    while !last.is_self_issued() {
        let issuer =
            certificates.iter().find(|candidate| last.may_be_issued_by(candidate) && !chain.contains(candidate));
        let Some(issuer) = issuer else { break };
        chain.push(Arc::clone(issuer));
        last = issuer;
    }
    chain
}

/// Of certificates that were issued again for the same key and use, keeps the one that lasts longest.
fn without_renewed(found: Vec<Identity>) -> Vec<Identity> {
    let mut kept: Vec<Identity> = Vec::new();
    for identity in found {
        let same = kept.iter_mut().find(|other| {
            other.private_key_der() == identity.private_key_der()
                && other.certificate().is_same_use(identity.certificate())
        });
        match same {
            Some(other) if other.not_after() < identity.not_after() => *other = identity,
            Some(_) => {}
            None => kept.push(identity),
        }
    }
    kept
}

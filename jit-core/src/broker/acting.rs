//! Reviews, withdrawals and revocations: what people do to what was asked.

use crate::approval::ask::Actor;
use crate::approval::credential::CredentialToken;
use crate::approval::event::Finding;
use crate::approval::evidence::Evidence;
use crate::approval::refused::Refused;
use crate::approval::review::Opinion;
use crate::broker::change::Intent;
use crate::broker::{Broker, Rejection, View};
use crate::gate::target::canonical_prefix;
use crate::id::RequestId;
use crate::policy::text::{REASON_MAX, clean};

impl Broker {
    /// Approves or denies.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed; otherwise the failure of a port.
    pub async fn review(&self, by: &Actor, id: RequestId, opinion: Opinion) -> Result<View, Rejection> {
        self.review_with(by, id, opinion, None).await
    }

    /// Approves or denies, with the assertion of a passkey over it, which is kept in the record. Its signature has been verified; whether
    /// it is about this review is checked here.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed; otherwise the failure of a port.
    pub async fn review_signed(
        &self,
        by: &Actor,
        id: RequestId,
        opinion: Opinion,
        evidence: &Evidence,
    ) -> Result<View, Rejection> {
        self.review_with(by, id, opinion, Some(evidence)).await
    }

    /// An opinion as it is kept: its paths canonical, its comment cleaned. What a passkey signs is this.
    ///
    /// # Errors
    /// [`Refused::Invalid`] when a path has no canonical form, or there are too many.
    pub fn canonical(mut opinion: Opinion) -> Result<Opinion, Refused> {
        let paths = &mut opinion.narrowing.paths;
        if paths.len() > 32 || opinion.narrowing.methods.len() > 32 {
            return Err(Refused::invalid("paths", "and methods may be at most 32 each"));
        }
        *paths = std::mem::take(paths)
            .iter()
            .map(|path| canonical_prefix(path))
            .collect::<Result<_, _>>()
            .map_err(|problem| Refused::invalid("paths", problem.to_string()))?;
        opinion.comment = clean(&opinion.comment);
        Ok(opinion)
    }

    async fn review_with(
        &self,
        by: &Actor,
        id: RequestId,
        opinion: Opinion,
        evidence: Option<&Evidence>,
    ) -> Result<View, Rejection> {
        let opinion = Self::canonical(opinion)?;
        self.act(
            id,
            &Intent::Review {
                by,
                opinion: &opinion,
                evidence,
            },
        )
        .await
    }

    /// Takes back what the actor asked for, while it is pending.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed; otherwise the failure of a port.
    pub async fn withdraw(&self, by: &Actor, id: RequestId, reason: &str) -> Result<View, Rejection> {
        let reason = &cleaned(reason)?;
        self.act(id, &Intent::Withdraw { by, reason }).await
    }

    /// Gives a grant back before its end.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed; otherwise the failure of a port: the gate is shut all the same.
    pub async fn release(&self, by: &Actor, id: RequestId, reason: &str) -> Result<View, Rejection> {
        let reason = &cleaned(reason)?;
        self.act(id, &Intent::Release { by, reason }).await
    }

    /// Takes a grant away: for revokers and for those who may review it.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed; otherwise the failure of a port: the gate is shut all the same, and the write is
    /// tried again until it succeeds.
    pub async fn revoke(&self, by: &Actor, id: RequestId, reason: &str) -> Result<View, Rejection> {
        let reason = &cleaned(reason)?;
        self.act(id, &Intent::Revoke { by, reason }).await
    }

    /// Takes a credential for a grant whose selector is `credential`: for its holder, while it is scheduled or active. The one before
    /// ends with this.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed; otherwise the failure of a port: whether there is a new credential is then not known,
    /// and taking another one is safe.
    pub async fn issue_credential(&self, by: &Actor, id: RequestId) -> Result<Issued, Rejection> {
        let token = CredentialToken::random()?;
        let credential = token.digest();
        let view = self.act(id, &Intent::Issue { by, credential }).await?;
        Ok(Issued { view, token })
    }

    /// Records what another person found when they looked into a break-glass; settles the requester's debt.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed; otherwise the failure of a port.
    pub async fn after_review(
        &self,
        by: &Actor,
        id: RequestId,
        finding: Finding,
        comment: &str,
    ) -> Result<View, Rejection> {
        self.act(id, &Intent::AfterReview { by, finding, comment }).await
    }
}

/// What issuing a credential came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Issued {
    /// The request as it stands.
    pub view: View,
    /// The credential. Nobody can read it again.
    pub token: CredentialToken,
}

pub(super) fn cleaned(reason: &str) -> Result<String, Refused> {
    let reason = clean(reason);
    if reason.chars().count() > REASON_MAX {
        return Err(Refused::invalid(
            "reason",
            format!("must be at most {REASON_MAX} characters"),
        ));
    }
    Ok(reason)
}

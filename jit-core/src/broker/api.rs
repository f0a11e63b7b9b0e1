//! The broker.
use std::sync::Arc;
use crate::approval::ask::{Actor, Ask};
use crate::approval::event::Finding;
use crate::approval::lockdown::{Lockdown, Target};
use crate::approval::refused::Refused;
use crate::approval::request::Request;
use crate::approval::review::Opinion;
use crate::approval::state::State;
use crate::broker::directory::DirectoryError;
use crate::broker::store::{Position, Record, StoreError, Version};
use crate::gate::authenticate::Subject;
use crate::id::{LockdownId, PersonId, RequestId, ResourceName, Timestamp};

/// Why the broker did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// It was refused: a value.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory did not answer.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}
/// A request as it stands now, with its stream's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View { pub request: Request, pub version: Version }
/// What an asking became.
#[derive(Debug, Clone)]
pub struct Asked { pub view: View, /** false: the Idempotency-Key was seen before */ pub created: bool }
/// One page.
#[derive(Debug, Clone)]
pub struct Listing { pub items: Vec<View>, pub next: Option<Position> }
/// Which requests.
#[derive(Debug, Clone, Default)]
pub struct Filter { pub states: Vec<State>, pub resource: Option<ResourceName>, pub mine: bool, pub reviewable: bool, pub before: Option<Position>, pub limit: usize }
#[derive(Debug, Clone)]
pub struct Broker(Arc<()>);
impl Broker {
    pub fn now(&self) -> Timestamp { unimplemented!() }
    /// Resolves who stands behind a subject; unknown or disabled: NotEligible.
    pub async fn identify(&self, _: &Subject) -> Result<Actor, Rejection> { unimplemented!() }
    pub async fn ask(&self, _: &Actor, _: Ask, _idempotency_key: Option<&str>) -> Result<Asked, Rejection> { unimplemented!() }
    pub async fn view(&self, _: &Actor, _: RequestId) -> Result<View, Rejection> { unimplemented!() }
    pub async fn list(&self, _: &Actor, _: &Filter) -> Result<Listing, Rejection> { unimplemented!() }
    pub async fn review(&self, _: &Actor, _: RequestId, _: Opinion) -> Result<View, Rejection> { unimplemented!() }
    pub async fn withdraw(&self, _: &Actor, _: RequestId, _reason: &str) -> Result<View, Rejection> { unimplemented!() }
    pub async fn release(&self, _: &Actor, _: RequestId, _reason: &str) -> Result<View, Rejection> { unimplemented!() }
    pub async fn revoke(&self, _: &Actor, _: RequestId, _reason: &str) -> Result<View, Rejection> { unimplemented!() }
    pub async fn after_review(&self, _: &Actor, _: RequestId, _: Finding, _comment: &str) -> Result<View, Rejection> { unimplemented!() }
    /// Scheduled and active grants the actor may see.
    pub async fn grants(&self, _: &Actor) -> Result<Vec<View>, Rejection> { unimplemented!() }
    pub async fn lockdowns(&self, _: &Actor) -> Result<Vec<Lockdown>, Rejection> { unimplemented!() }
    pub async fn lock_down(&self, _: &Actor, _: Target, _reason: &str) -> Result<Lockdown, Rejection> { unimplemented!() }
    pub async fn lift(&self, _: &Actor, _: LockdownId, _reason: &str) -> Result<(), Rejection> { unimplemented!() }
    /// The audit log; auditors only.
    pub async fn events(&self, _: &Actor, _after: Position, _limit: usize) -> Result<Vec<Record>, Rejection> { unimplemented!() }
    /// What may the actor ask for.
    pub fn offers(&self, _: &Actor) -> Vec<Offer> { unimplemented!() }
    /// Changes whenever something was written: the position of the last record.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<Position> { unimplemented!() }
    /// What the actor is to the control plane: auditor, revoker, may lock down.
    pub fn powers(&self, _: &Actor) -> Powers { unimplemented!() }
    /// Persons who could review this, as known.
    pub fn _unused(_: PersonId) {}
}
#[derive(Debug, Clone, Copy)]
pub struct Powers { pub auditor: bool, pub revoker: bool, pub lockdown: bool }
/// One thing that may be asked for.
#[derive(Debug, Clone)]
pub struct Offer { pub resource: crate::policy::terms::ResourceDef, pub terms: crate::policy::terms::Terms, pub break_glass: bool }

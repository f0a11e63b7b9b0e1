//! Who may ask for what, for how long, on what conditions, and who must agree.

pub mod terms;
pub mod text;
// STUB
use crate::{approval::{ask::*,refused::Refused}, broker::directory::Person, id::*};
#[derive(Debug)] pub struct Policy; #[derive(Debug,Clone)] pub struct Offer{pub resource:terms::ResourceDef,pub terms:terms::Terms,pub break_glass:bool}
#[derive(Debug)] pub struct Control;
impl Control{ pub fn is_auditor(&self,_:&Person)->bool{true} pub fn is_revoker(&self,_:&Person)->bool{true} pub fn may_lock_down(&self,_:&Person)->bool{true}}
impl Policy{ pub fn digest(&self)->Digest{Digest::ZERO} pub fn control(&self)->&Control{&Control} pub fn rule(&self,_:&Ask,_:&Actor,_:Timestamp)->Result<Ruling,Refused>{Err(Refused::NotFound)} pub fn restate(&self,_:&Ruling,_:&Person,_:Timestamp)->Result<Ruling,Refused>{Err(Refused::NotFound)} pub fn offers(&self,_:&Person)->Vec<Offer>{vec![]} pub fn terms(&self,_:&PolicyName,_:&ResourceName)->Option<&terms::Terms>{None}}

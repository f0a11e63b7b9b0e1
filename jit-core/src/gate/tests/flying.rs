//! What was admitted, while it is in flight.

use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::gate::flight::Flight;

impl World {
    async fn admission(&self, door: Door, head: &Parts) -> Admission {
        let verdict = match self.gate.decide_for(door, head, None) {
            Verdict::Lookup(lookup) => self.gate.resolve(head, None, lookup).await,
            verdict => verdict,
        };
        match verdict {
            Verdict::Admit(admission) => admission,
            verdict => panic!("{verdict:?}"),
        }
    }

    async fn fly(&self, door: Door, fields: &[(&str, &str)]) -> Arc<Flight> {
        let head = head("app.example", "/admin", fields);
        Flight::begin(&self.gate, &self.admission(door, &head).await, &head)
    }
}

fn lockdown(target: lockdown::Target) -> Lockdown {
    Lockdown {
        id: LockdownId::from_u128(1),
        target,
        reason: "incident".to_owned(),
        principal: ANA.parse().unwrap(),
        person: "ana".parse().unwrap(),
        at: at(0),
    }
}

#[tokio::test(start_paused = true)]
async fn a_locked_role_ends_what_is_in_flight_before_anything_is_written() {
    for (role, cut) in [("sre", true), ("dba", false)] {
        let world = world().publish(&active(1));
        let flight = world.fly(Door::new(), &[ANA_TOKEN]).await;
        let waiting = tokio::spawn({
            let flight = Arc::clone(&flight);
            async move { timeout(Duration::from_secs(1), flight.cut()).await.ok() }
        });
        tokio::task::yield_now().await;
        let target = lockdown::Target::Role(role.parse().unwrap());
        world.gate.enforcer().lock(&lockdown(target));
        assert_eq!(flight.goes_on().is_err(), cut, "{role}");
        let expected = cut.then_some(Cut::LockedDown);
        assert_eq!(waiting.await.unwrap(), expected, "{role}");
    }
}

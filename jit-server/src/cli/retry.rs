//! Trying again what failed on the way, with pauses: for what does the same however often it is done.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::exit::{Exit, Failure};
use super::screen::tell;

/// Before each further try. What failed together does not come back together: up to half as much again is added.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
/// Longest that a server is left alone because it says so.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long an answer may still take when whoever waits for it was told to stop.
const LAST_WORD: Duration = Duration::from_secs(5);

/// Tries until there is an answer, a failure that lasts, or no try left. When `stop` becomes true it does not try again, unless what it
/// tried may be done and only the answer is missing.
///
/// # Errors
/// The last try's, in doubt if any try's answer was lost.
pub(super) async fn persistently<T>(
    attempt: impl AsyncFn() -> Result<T, Failure>,
    mut stop: watch::Receiver<bool>,
) -> Result<T, Failure> {
    let mut in_doubt = false;
    for pause in PAUSES {
        let failure = match within(attempt(), &mut stop).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        let Some(passing) = failure.passing else {
            return Err(failure.in_doubt(in_doubt));
        };
        in_doubt |= passing.may_be_done;
        if *stop.borrow() {
            return Err(failure.in_doubt(in_doubt));
        }
        let pause = pause.max(passing.after.unwrap_or_default().min(PAUSE_MAX));
        let pause = pause.saturating_add(jitter(pause)?);
        tell(&format!(
            "{}\n  Trying again in {:.1}s.",
            failure.text,
            pause.as_secs_f32()
        ));
        tokio::select! {
            () = sleep(pause) => {}
            () = stopped(&mut stop) => if !in_doubt {
                return Err(failure);
            },
        }
    }
    within(attempt(), &mut stop).await.map_err(|failure| {
        in_doubt |= failure.passing.is_some_and(|passing| passing.may_be_done);
        failure.in_doubt(in_doubt)
    })
}

/// One try more, which is not waited for for long.
///
/// # Errors
/// That of the try.
pub(super) async fn once_more<T>(attempt: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let (_stop, mut stopped) = watch::channel(true);
    within(attempt, &mut stopped).await
}

/// One try: from the moment of being told to stop on, a bounded one.
async fn within<T>(
    attempt: impl Future<Output = Result<T, Failure>>,
    stop: &mut watch::Receiver<bool>,
) -> Result<T, Failure> {
    let mut attempt = std::pin::pin!(attempt);
    tokio::select! {
        answer = &mut attempt => return answer,
        () = stopped(stop) => {}
    }
    timeout(LAST_WORD, attempt).await.unwrap_or_else(|_| {
        Err(
            Failure::new(Exit::Unreachable, "no answer in time").passing(Some(super::exit::Passing {
                may_be_done: true,
                after: None,
            })),
        )
    })
}

/// Ends when it is told to stop; never, if nobody is there to tell.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Up to half of `pause`.
fn jitter(pause: Duration) -> Result<Duration, Failure> {
    let mut bits = [0; 1];
    getrandom::fill(&mut bits)
        .map_err(|error| Failure::failed(format!("there is no randomness: {error}")))?;
    let [share] = bits;
    Ok(pause.saturating_mul(share.into()).div_f32(512.0))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::exit::Passing;
    use super::*;

    fn failure(may_be_done: bool) -> Failure {
        Failure::new(Exit::Unreachable, "x").passing(Some(Passing {
            may_be_done,
            after: Some(Duration::from_secs(3600)),
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn it_tries_as_often_as_it_says_and_no_longer() {
        for (good_at, lasting_at, tries, done) in [
            (1, 9, 1, true),
            (5, 9, 5, true),
            (6, 9, 5, false),
            (9, 2, 2, false),
        ] {
            let tried = Cell::new(0);
            let (_stop, never) = watch::channel(false);
            let answer = persistently(
                async || {
                    tried.set(tried.get() + 1);
                    match tried.get() {
                        n if n == good_at => Ok(()),
                        n if n == lasting_at => Err(Failure::failed("y")),
                        _ => Err(failure(true)),
                    }
                },
                never,
            );
            // An hour was asked for each time.
            let answer = timeout(Duration::from_secs(60), answer).await.unwrap();
            assert_eq!((answer.is_ok(), tried.get()), (done, tries), "{answer:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_told_to_stop_tries_again_only_to_learn_what_became_of_it() {
        for (may_be_done, tries) in [(false, 1), (true, 2)] {
            let tried = Cell::new(0);
            let (stop, stopped) = watch::channel(false);
            let trying = persistently(
                async || {
                    tried.set(tried.get() + 1);
                    Err::<(), _>(failure(may_be_done))
                },
                stopped,
            );
            let told = async {
                sleep(Duration::from_secs(1)).await;
                stop.send_replace(true);
            };
            let (answer, ()) = tokio::join!(trying, told);
            assert_eq!((answer.is_err(), tried.get()), (true, tries));
        }
        // An answer that never comes is not waited for.
        let (stop, stopped) = watch::channel(true);
        let answer = persistently(async || std::future::pending::<Result<(), _>>().await, stopped).await;
        assert!(answer.unwrap_err().in_doubt);
        drop(stop);
    }

    #[tokio::test(start_paused = true)]
    async fn one_lost_answer_leaves_a_doubt_that_no_later_failure_takes_away() {
        for (lost_at, lasting_at, in_doubt) in [
            (9, 9, false),
            (1, 9, true),
            (3, 9, true),
            (5, 9, true),
            (1, 2, true),
            (2, 5, true),
            (9, 2, false),
            (2, 1, false),
        ] {
            let tried = Cell::new(0);
            let (_stop, never) = watch::channel(false);
            let answer = persistently(
                async || {
                    tried.set(tried.get() + 1);
                    match tried.get() {
                        n if n == lasting_at => Err::<(), _>(Failure::failed("y")),
                        n => Err(failure(n == lost_at)),
                    }
                },
                never,
            );
            assert_eq!(
                answer.await.unwrap_err().in_doubt,
                in_doubt,
                "{lost_at} {lasting_at}"
            );
        }
        // Nobody is there at the second try, and the stop comes after it: what became of the first is still to be learned.
        let tried = Cell::new(0);
        let (stop, stopped) = watch::channel(false);
        let trying = persistently(
            async || {
                tried.set(tried.get() + 1);
                Err::<(), _>(failure(tried.get() == 1))
            },
            stopped,
        );
        let told = async {
            sleep(Duration::from_secs(18)).await;
            stop.send_replace(true);
        };
        let (answer, ()) = tokio::join!(trying, told);
        assert_eq!((answer.unwrap_err().in_doubt, tried.get()), (true, 3));
    }
}

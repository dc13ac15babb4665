//! Every promise about when a file is shown, without a file and on a clock of the test's own.

mod trial;

use proptest::prelude::*;

use self::trial::{AFTER_CLOSE, Content, OLD, SETTLE, Trial, ms};
use super::*;

#[test]
fn a_file_that_was_moved_into_place_is_shown_at_once() {
    for content in [Content::Png, Content::Jpeg, Content::Text] {
        let mut file = Trial::new(content);
        file.write(content);
        file.event(Change::Moved, 0);
        file.expect(Action::Publish, ms(0));
        file.expect_nothing();
    }
}

#[test]
fn a_picture_with_checksums_is_shown_at_the_close() {
    let mut file = Trial::new(Content::Png);
    file.rewrite(Content::Png);
    file.expect(Action::Publish, ms(0));
    file.expect_nothing();
}

#[test]
fn a_file_without_checksums_is_shown_when_no_next_writer_has_begun_within_a_tick() {
    for content in [Content::Jpeg, Content::Text] {
        let mut file = Trial::new(content);
        file.rewrite(content);
        file.expect(Action::Publish, AFTER_CLOSE);
    }
    let mut file = Trial::new(Content::Jpeg);
    file.rewrite(Content::Jpeg);
    assert_eq!(file.look(), Action::Wait);
    file.wait(ms(3));
    // The next one writes, unseen but by the times of the file.
    file.write(Content::TornJpeg);
    file.wait(ms(2));
    assert_eq!((file.look(), file.reads), (Action::Wait, 1), "not read half");
}

#[test]
fn a_jpeg_in_the_place_of_a_png_is_not_taken_for_checksummed() {
    let mut file = Trial::new(Content::Png);
    file.rewrite(Content::Jpeg);
    file.expect(Action::Publish, AFTER_CLOSE);
}

#[test]
fn a_file_whose_writer_was_not_seen_to_close_is_shown_when_it_has_rested() {
    let mut file = Trial::new(Content::Png);
    file.write(Content::Png);
    file.event(Change::Changing, 0);
    file.expect(Action::Publish, SETTLE);
}

#[test]
fn a_file_whose_clock_is_ahead_of_ours_is_shown_when_it_has_rested_by_ours() {
    let mut file = Trial::new(Content::Png);
    file.write(Content::Png);
    file.changed += OLD;
    file.event(Change::Changing, 0);
    file.expect(Action::Publish, 2 * SETTLE);
}

#[test]
fn a_check_without_an_event_reads_only_what_has_changed() {
    let mut file = Trial::new(Content::Png);
    file.on(Input::Check);
    assert_eq!((file.look(), file.reads, file.settling.due()), (Action::Wait, 1, None));
    file.write(Content::Png);
    file.wait(SETTLE);
    file.on(Input::Check);
    assert_eq!(file.look(), Action::Publish);
}

#[test]
fn a_close_has_a_file_read_whose_times_are_as_before() {
    // A writer that maps the file changes its bytes without its times.
    let mut file = Trial::new(Content::Png);
    file.event(Change::Closed, 0);
    file.expect(Action::Publish, ms(0));
}

#[test]
fn a_file_that_is_held_open_must_rest_as_if_it_was_not_closed() {
    let mut file = Trial::new(Content::Jpeg);
    file.event(Change::Opened, 1);
    file.rewrite(Content::Jpeg);
    file.expect(Action::Publish, SETTLE);
}

#[test]
fn the_last_one_that_lets_go_ends_the_wait() {
    let mut file = Trial::new(Content::Jpeg);
    file.event(Change::Opened, 1);
    file.rewrite(Content::Jpeg);
    assert_eq!(file.run(ms(20)), None);
    file.event(Change::Opened, -1);
    file.expect(Action::Publish, ms(0));
}

#[test]
fn a_reader_that_comes_and_goes_changes_nothing() {
    let mut file = Trial::new(Content::Jpeg);
    file.event(Change::Opened, 1);
    file.event(Change::Opened, -1);
    file.expect_nothing();
    file.rewrite(Content::Jpeg);
    file.event(Change::Opened, 1);
    file.event(Change::Opened, -1);
    assert!(file.run(OLD).is_some_and(|(action, after)| action == Action::Publish && after <= AFTER_CLOSE));
}

#[test]
fn opens_of_a_file_that_was_replaced_no_longer_count() {
    for end in [Input::OtherFile, Input::EventsLost] {
        let mut file = Trial::new(Content::Jpeg);
        file.event(Change::Opened, 1);
        file.on(end);
        file.rewrite(Content::Jpeg);
        file.expect(Action::Publish, AFTER_CLOSE);
    }
    let mut file = Trial::new(Content::Jpeg);
    file.event(Change::Opened, 1);
    file.event(Change::Moved, 0);
    file.rewrite(Content::Jpeg);
    file.expect(Action::Publish, AFTER_CLOSE);
}

#[test]
fn lost_events_have_a_file_looked_at_whatever_its_times_are() {
    let mut file = Trial::new(Content::Png);
    file.on(Input::EventsLost);
    file.expect(Action::Publish, ms(0));
}

#[test]
fn another_mode_is_looked_at_at_once_and_does_not_hide_a_close() {
    let mut file = Trial::new(Content::Png);
    file.rewrite(Content::Png);
    file.event(Change::Metadata, 0);
    file.state += 1;
    file.expect(Action::Publish, ms(0));
    file.event(Change::Metadata, 0);
    file.wait(SETTLE);
    file.expect(Action::Publish, ms(0));
}

#[test]
fn a_torn_file_is_tried_again_soon_and_shown_when_it_is_whole() {
    let mut file = Trial::new(Content::Png);
    file.rewrite(Content::TornPng);
    let start = file.now;
    let mut looks = Vec::new();
    for _ in 0..4 {
        assert_eq!(file.look(), Action::Wait);
        file.now = file.settling.due().unwrap();
        looks.push((file.now - start).as_millis());
    }
    assert_eq!((looks, file.reads), (vec![5, 25, 85, 1000], 5));
    file.write(Content::Png);
    file.wait(SETTLE);
    assert_eq!(file.look(), Action::Publish);
    file.expect_nothing();
}

#[test]
fn a_file_that_stays_torn_is_reported_once_and_then_left_until_it_changes() {
    let mut file = Trial::new(Content::Png);
    file.rewrite(Content::TornPng);
    file.expect(Action::Report, PATIENCE);
    file.on(Input::Check);
    let reads = file.reads;
    assert_eq!((file.look(), file.reads), (Action::Wait, reads));
    file.expect_nothing();
    file.rewrite(Content::Png);
    file.expect(Action::Publish, ms(0));
}

#[test]
fn a_close_begins_the_retries_anew() {
    let mut file = Trial::new(Content::Png);
    file.rewrite(Content::TornPng);
    assert_eq!(file.run(ms(500)), None);
    file.rewrite(Content::TornPng);
    assert_eq!(file.look(), Action::Wait);
    assert_eq!(file.settling.due(), Some(file.now + RETRIES[0]));
}

#[test]
fn a_missing_file_is_reported_after_a_second_and_shown_when_it_comes() {
    let mut file = Trial::new(Content::Text);
    file.content = None;
    file.event(Change::Changing, 0);
    file.expect(Action::Report, SETTLE + PATIENCE);
    file.on(Input::Check);
    file.expect(Action::Report, PATIENCE);
    file.write(Content::Text);
    file.event(Change::Moved, 0);
    file.expect(Action::Publish, ms(0));
}

/// The time until the first part, where the file is written to every 20 ms.
fn shown_while_written(before: Content, while_written: Content) -> Option<Duration> {
    let mut file = Trial::new(before);
    let start = file.now;
    for _ in 0..500 {
        file.write(while_written);
        file.event(Change::Changing, 0);
        if let Some((action, _)) = file.run(ms(20)) {
            assert_eq!(action, Action::Publish);
            return Some(file.now - start);
        }
    }
    None
}

#[test]
fn text_and_checksummed_pictures_are_shown_though_their_writer_never_rests() {
    for content in [Content::Text, Content::Png] {
        let shown = shown_while_written(content, content).unwrap();
        assert!(shown >= PATIENCE && shown < PATIENCE + 2 * SETTLE, "{content:?} after {shown:?}");
    }
}

#[test]
fn other_files_whose_writer_never_rests_are_not_shown_before_it_does() {
    assert_eq!(shown_while_written(Content::Jpeg, Content::Jpeg), None);
}

#[test]
fn a_file_is_not_read_before_its_part_may_leave() {
    let mut file = Trial::with_interval(Content::Png, Some(ms(500)));
    for _ in 0..10 {
        file.rewrite(Content::Png);
        assert_eq!(file.run(ms(10)), None);
    }
    assert_eq!(file.reads, 1);
    file.expect(Action::Publish, ms(400));
}

#[test]
fn a_file_that_can_never_be_shown_is_not_read_again_until_it_changes() {
    let mut file = Trial::new(Content::Text);
    file.write(Content::Text);
    file.event(Change::Moved, 0);
    assert_eq!(file.on(Input::Tick), Action::Look);
    let signature = Signature::numbered(file.state);
    assert_eq!(file.on(Input::Found(signature, ms(0))), Action::Read);
    assert_eq!(file.on(Input::Unusable(signature)), Action::Report);
    file.on(Input::Check);
    file.wait(SETTLE);
    assert_eq!((file.look(), file.settling.due()), (Action::Wait, None));
    file.write(Content::Text);
    file.event(Change::Moved, 0);
    file.expect(Action::Publish, ms(0));
}

#[test]
fn a_failure_is_reported_and_tried_again_at_the_next_check() {
    let mut file = Trial::new(Content::Text);
    file.event(Change::Moved, 0);
    assert_eq!(file.on(Input::Tick), Action::Look);
    assert_eq!(file.on(Input::Failed), Action::Report);
    file.expect_nothing();
    file.on(Input::Check);
    file.expect(Action::Publish, ms(0));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Event(Change, i32),
    Write(Content),
    Wait(u64),
    Remove,
    Lose,
    Check,
}

fn step() -> impl Strategy<Value = Step> {
    let change = prop::sample::select(vec![Change::Closed, Change::Moved, Change::Changing, Change::Metadata, Change::Opened]);
    let content = prop::sample::select(vec![Content::Png, Content::TornPng, Content::Jpeg, Content::TornJpeg, Content::Text]);
    prop_oneof![
        (change, -1..=1).prop_map(|(change, opened)| Step::Event(change, opened)),
        content.prop_map(Step::Write),
        (0u64..2000).prop_map(Step::Wait),
        Just(Step::Remove),
        Just(Step::Lose),
        Just(Step::Check),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_last_state_is_shown_once_it_rests(steps in prop::collection::vec(step(), 0..60)) {
        let mut file = Trial::new(Content::Png);
        for step in steps {
            match step {
                Step::Event(change, opened) => file.event(change, opened),
                Step::Write(content) => file.write(content),
                Step::Wait(time) => {
                    if let Some((action, _)) = file.run(ms(time)) {
                        prop_assert!(action == Action::Report || file.content.is_some_and(Content::is_complete));
                    }
                }
                Step::Remove => file.content = None,
                Step::Lose => drop(file.on(Input::EventsLost)),
                Step::Check => drop(file.on(Input::Check)),
            }
        }
        file.write(Content::Jpeg);
        file.wait(SETTLE);
        file.on(Input::Check);
        let shown = file.run(ms(1300));
        prop_assert!(matches!(shown, Some((Action::Publish, _))), "{:?}", shown);
        prop_assert_eq!(file.settling.due(), None);
    }
}

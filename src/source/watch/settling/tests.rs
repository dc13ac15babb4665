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
        file.event(Change::Moved);
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
    let mut file = Trial::untold(Content::Jpeg);
    file.write(Content::Jpeg);
    file.event(Change::Changing);
    file.expect(Action::Publish, SETTLE);
}

#[test]
fn a_file_whose_clock_is_ahead_of_ours_is_shown_when_it_has_rested_by_ours() {
    let mut file = Trial::untold(Content::Jpeg);
    file.write(Content::Jpeg);
    file.changed += OLD;
    file.event(Change::Changing);
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
    file.event(Change::Closed);
    file.expect(Action::Publish, ms(0));
}

#[test]
fn a_file_that_another_writer_has_open_must_rest_as_if_it_was_not_closed() {
    let mut file = Trial::held(Content::Jpeg);
    file.write(Content::Jpeg);
    file.event(Change::Closed);
    file.expect(Action::Publish, SETTLE);
}

#[test]
fn the_last_writer_that_lets_go_ends_the_wait() {
    let mut file = Trial::held(Content::Jpeg);
    file.write(Content::Jpeg);
    file.event(Change::Closed);
    assert_eq!(file.run(ms(20)), None);
    file.close();
    file.expect(Action::Publish, ms(0));
}

#[test]
fn where_the_system_does_not_tell_of_writers_a_close_is_believed() {
    for content in [Content::Jpeg, Content::Text, Content::Zip, Content::Json] {
        let mut file = Trial::untold(content);
        file.rewrite(content);
        file.expect(Action::Publish, AFTER_CLOSE);
    }
}

#[test]
fn a_file_whose_writer_is_open_is_shown_at_a_pause_only_if_its_end_is_certain() {
    for content in [Content::Png, Content::Jpeg, Content::Json] {
        let mut file = Trial::held(content);
        file.write(content);
        file.event(Change::Changing);
        assert!(file.run(SETTLE).is_some_and(|(action, _)| action == Action::Publish), "{content:?}");
    }
    for content in [Content::Zip, Content::TornPng, Content::TornJpeg] {
        let mut file = Trial::held(Content::Jpeg);
        file.write(content);
        file.event(Change::Changing);
        file.expect(Action::Report, SETTLE + PATIENCE);
        for _ in 0..10 {
            file.on(Input::Check);
            file.expect_nothing();
        }
        assert!(file.reads <= 2, "what is known to be open is not read again");
        file.close();
        let shown = file.run(ms(1000));
        assert!(shown.is_some_and(|(action, _)| action == Action::Publish), "{content:?}: {shown:?}");
    }
}

#[test]
fn a_close_that_no_event_told_of_is_found_by_a_check() {
    let mut file = Trial::held(Content::Jpeg);
    file.write(Content::Zip);
    file.event(Change::Changing);
    file.expect(Action::Report, SETTLE + PATIENCE);
    file.writers = Writers::None;
    file.on(Input::Check);
    file.expect(Action::Publish, ms(0));
}

#[test]
fn a_picture_that_is_written_over_without_its_end_waits_for_the_close_if_its_writers_close() {
    let mut file = Trial::held(Content::Jpeg);
    file.write(Content::Jpeg);
    file.event(Change::Changing);
    file.keeps_end = true;
    file.expect(Action::Publish, ms(1000));
    // A writer that writes pictures that end alike, and never closes, is not waited for longer than that.
    file.rewrite(Content::Jpeg);
    file.expect(Action::Publish, AFTER_CLOSE);
    file.writers = Writers::Some;
    file.write(Content::Jpeg);
    file.event(Change::Changing);
    file.expect(Action::Report, SETTLE + PATIENCE);
    file.keeps_end = false;
    file.rewrite(Content::Jpeg);
    file.expect(Action::Publish, AFTER_CLOSE);
}

#[test]
fn text_whose_writer_is_open_is_shown_at_a_pause_and_then_at_most_once_a_second() {
    let mut file = Trial::held(Content::Text);
    let mut shown = Vec::new();
    for _ in 0..20 {
        file.write(Content::Text);
        file.event(Change::Changing);
        let start = file.now;
        shown.extend(file.run(ms(200)).map(|(_, after)| start + after));
        file.now = start + ms(200);
    }
    assert!(matches!(shown.len(), 4 | 5), "{} times in 4 s", shown.len());
    assert!(shown.windows(2).all(|two| two[1] - two[0] >= BUSY && two[1] - two[0] <= PATIENCE));
}

#[test]
fn a_truncated_file_that_its_writer_has_closed_is_shown_as_it_is_after_a_second_of_rest() {
    let mut file = Trial::new(Content::Jpeg);
    file.rewrite(Content::TornJpeg);
    file.expect(Action::Publish, PATIENCE);
    file.expect_nothing();
    let mut file = Trial::untold(Content::Jpeg);
    file.write(Content::TornJpeg);
    file.event(Change::Changing);
    file.expect(Action::Publish, SETTLE + PATIENCE);
}

#[test]
fn truncated_files_that_replace_each_other_are_shown_as_they_are_though_none_rests() {
    for replaces in [|file: &mut Trial| file.size -= 1, |file: &mut Trial| assert_eq!(file.on(Input::OtherFile), Action::Wait)] {
        let mut file = Trial::new(Content::Jpeg);
        file.size = 100;
        let start = file.now;
        let shown = (0..30).filter(|_| {
            replaces(&mut file);
            file.rewrite(Content::TornJpeg);
            let shown = file.run(ms(300));
            file.now = start.max(file.now);
            shown.is_some_and(|(action, _)| action == Action::Publish)
        });
        assert!(shown.count() >= 5);
    }
}

#[test]
fn a_file_that_is_added_to_session_by_session_is_not_shown_before_it_rests() {
    let mut file = Trial::new(Content::Jpeg);
    for _ in 0..30 {
        file.size += 1;
        file.rewrite(Content::TornJpeg);
        assert_eq!(file.run(ms(300)), None);
    }
    file.rewrite(Content::Jpeg);
    file.expect(Action::Publish, AFTER_CLOSE);
}

#[test]
fn a_file_of_long_ago_is_shown_as_it_is_at_once() {
    let mut file = Trial::new(Content::Jpeg);
    file.content = Some(Content::TornJpeg);
    file.on(Input::EventsLost);
    file.expect(Action::Publish, ms(0));
}

#[test]
fn a_text_that_was_emptied_is_shown_as_empty_when_that_lasts() {
    for mut file in [Trial::new(Content::Text), Trial::held(Content::Text)] {
        file.write(Content::Emptied);
        file.event(Change::Changing);
        file.expect(Action::Publish, PATIENCE);
        file.write(Content::Emptied);
        file.event(Change::Changing);
        assert_eq!(file.run(ms(500)), None);
        file.rewrite(Content::Text);
        assert!(file.run(ms(1000)).is_some_and(|(action, _)| action == Action::Publish));
    }
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
    file.event(Change::Metadata);
    file.state += 1;
    file.expect(Action::Publish, ms(0));
    file.event(Change::Metadata);
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
    assert_eq!((looks, file.reads), (vec![5, 10, 30, 90], 5));
    file.write(Content::Png);
    file.wait(SETTLE);
    assert_eq!(file.look(), Action::Publish);
    file.expect_nothing();
}

#[test]
fn a_file_without_bytes_is_reported_once_and_then_left_until_it_changes() {
    let mut file = Trial::new(Content::Png);
    file.rewrite(Content::Nothing);
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
    file.event(Change::Changing);
    file.expect(Action::Report, SETTLE + PATIENCE);
    file.on(Input::Check);
    file.expect(Action::Report, PATIENCE);
    file.write(Content::Text);
    file.event(Change::Moved);
    file.expect(Action::Publish, ms(0));
}

/// How often it is shown in ten seconds in which it is written to every 20 ms.
fn shown_while_written(file: &mut Trial, content: Content) -> usize {
    let (start, mut shown) = (file.now, 0);
    for write in 1..=500 {
        file.write(content);
        file.event(Change::Changing);
        while let Some((action, _)) = file.run((start + ms(20) * write) - file.now) {
            assert_eq!(action, Action::Publish);
            shown += 1;
        }
    }
    shown
}

#[test]
fn what_proves_itself_is_shown_at_least_once_a_second_though_its_writer_never_rests() {
    for content in [Content::Text, Content::Png, Content::Json] {
        for mut file in [Trial::held(content), Trial::untold(content)] {
            let shown = shown_while_written(&mut file, content);
            assert!(shown >= 10, "{content:?} {:?}: {shown}", file.writers);
        }
    }
    let mut file = Trial::held(Content::Text);
    file.moment = Moment::Grown;
    let shown = shown_while_written(&mut file, Content::Text);
    assert!((10..=12).contains(&shown), "{shown}");
}

#[test]
fn a_picture_whose_writer_keeps_it_open_and_never_rests_is_shown_at_least_once_a_second() {
    assert!(shown_while_written(&mut Trial::held(Content::Jpeg), Content::Jpeg) >= 10);
}

#[test]
fn where_writers_are_not_known_such_a_picture_is_shown_once_its_writers_are_seen_to_begin_with_an_empty_file() {
    let mut file = Trial::untold(Content::Jpeg);
    assert_eq!(shown_while_written(&mut file, Content::Jpeg), 0, "half of it may be the one before");
    file.size -= 1;
    assert!(shown_while_written(&mut file, Content::Jpeg) >= 10);
}

#[test]
fn what_proves_nothing_is_not_shown_before_its_writer_rests() {
    for content in [Content::Zip, Content::TornJpeg] {
        for mut file in [Trial::held(Content::Jpeg), Trial::untold(Content::Jpeg)] {
            assert_eq!(shown_while_written(&mut file, content), 0, "{content:?} {:?}", file.writers);
            assert!(file.reads < 30, "{content:?} {:?}: read {} times", file.writers, file.reads);
        }
    }
    let mut file = Trial::held(Content::Jpeg);
    file.moment = Moment::Several;
    assert_eq!(shown_while_written(&mut file, Content::Jpeg), 0);
}

#[test]
fn a_checksummed_picture_is_shown_soon_after_its_last_byte_though_its_writer_keeps_it_open() {
    let mut file = Trial::held(Content::Png);
    file.write(Content::Png);
    file.event(Change::Changing);
    file.expect(Action::Publish, AFTER_CLOSE);
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
    file.event(Change::Moved);
    assert_eq!(file.on(Input::Tick), Action::Look);
    let signature = file.signature();
    assert_eq!(file.on(Input::Found(signature, ms(0))), Action::Open);
    assert_eq!(file.on(Input::Unusable(signature)), Action::Report);
    file.on(Input::Check);
    file.wait(SETTLE);
    assert_eq!((file.look(), file.settling.due()), (Action::Wait, None));
    file.write(Content::Text);
    file.event(Change::Moved);
    file.expect(Action::Publish, ms(0));
}

#[test]
fn a_failure_is_reported_and_tried_again_at_the_next_check() {
    let mut file = Trial::new(Content::Text);
    file.event(Change::Moved);
    assert_eq!(file.on(Input::Tick), Action::Look);
    assert_eq!(file.on(Input::Failed), Action::Report);
    file.expect_nothing();
    file.on(Input::Check);
    file.expect(Action::Publish, ms(0));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Event(Change),
    Write(Content),
    Writers(Writers),
    Moment(Moment),
    Size(u64),
    Wait(u64),
    Remove,
    Lose,
    Other,
    Check,
}

fn content() -> impl Strategy<Value = Content> {
    use Content::{Emptied, Jpeg, Json, Nothing, Png, Text, TornJpeg, TornPng, Zip};
    prop::sample::select(vec![Png, TornPng, Jpeg, TornJpeg, Json, Text, Zip, Emptied, Nothing])
}

fn writers() -> impl Strategy<Value = Writers> {
    prop::sample::select(vec![Writers::None, Writers::Some, Writers::Unknown])
}

fn step() -> impl Strategy<Value = Step> {
    let change = prop::sample::select(vec![Change::Closed, Change::Moved, Change::Changing, Change::Metadata]);
    let moment = prop::sample::select(vec![Moment::One, Moment::Grown, Moment::Several]);
    prop_oneof![
        change.prop_map(Step::Event),
        content().prop_map(Step::Write),
        writers().prop_map(Step::Writers),
        moment.prop_map(Step::Moment),
        (1u64..20).prop_map(Step::Size),
        (0u64..2000).prop_map(Step::Wait),
        Just(Step::Remove),
        Just(Step::Lose),
        Just(Step::Other),
        Just(Step::Check),
    ]
}

/// Whatever is published is allowed to be.
fn run(file: &mut Trial, time: Duration) -> Result<(), TestCaseError> {
    if let Some((Action::Publish, _)) = file.run(time) {
        let content = file.content.unwrap_or(Content::Nothing);
        prop_assert!(content != Content::Nothing);
        let proves_itself = content.is_complete() || matches!(content, Content::Text | Content::Emptied);
        prop_assert!(proves_itself || file.writers != Writers::Some, "{content:?} whose writer is open");
        prop_assert!(!content.is_torn() || file.moment == Moment::One);
    }
    Ok(())
}

proptest! {
    #[test]
    fn whatever_happens_the_last_state_is_shown_once_it_rests(
        steps in prop::collection::vec(step(), 0..60), last in content(), writers in writers(),
    ) {
        let mut file = Trial::new(Content::Png);
        for step in steps {
            match step {
                Step::Event(change) => file.event(change),
                Step::Write(content) => file.write(content),
                Step::Writers(writers) => file.writers = writers,
                Step::Moment(moment) => file.moment = moment,
                Step::Size(size) => file.size = size,
                Step::Wait(time) => run(&mut file, ms(time))?,
                Step::Remove => file.content = None,
                Step::Lose => drop(file.on(Input::EventsLost)),
                Step::Other => drop(file.on(Input::OtherFile)),
                Step::Check => drop(file.on(Input::Check)),
            }
        }
        let proves_itself = last.is_complete() || matches!(last, Content::Text | Content::Emptied);
        let is_shown = last != Content::Nothing && (proves_itself || writers != Writers::Some);
        (file.writers, file.moment) = (writers, Moment::One);
        file.write(last);
        file.event(Change::Changing);
        let shown = file.run(ms(2200));
        prop_assert_eq!(matches!(shown, Some((Action::Publish, _))), is_shown, "{:?} {:?}", last, shown);
        file.run(OLD);
        prop_assert_eq!(file.settling.due(), None);
    }
}

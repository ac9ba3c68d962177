//! The series that live segments have.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidestone_format::SeriesId;

use crate::error::Result;
use crate::store::Segment;

/// Leaves out the series that one of these segments has. All segments are looked at, the newest first,
/// also behind one that cannot be read: that one's error is returned then, and its series are not left
/// out.
pub(crate) fn leave_out_living<'a>(
    segments: impl DoubleEndedIterator<Item = &'a Arc<Segment>>,
    ids: &mut BTreeSet<SeriesId>,
) -> Result<()> {
    let mut outcome = Ok(());
    for segment in segments.rev() {
        if ids.is_empty() {
            break;
        }
        outcome = outcome.and(leave_out(segment, ids));
    }
    outcome
}

fn leave_out(segment: &Segment, ids: &mut BTreeSet<SeriesId>) -> Result<()> {
    let open = segment.open()?;
    for (number, page) in open.root().series_pages.iter().enumerate() {
        let span = page.first_series..=page.last_series;
        if ids.range(span).next().is_none() {
            continue;
        }
        for id in open.series_page(number)?.ids() {
            ids.remove(&id);
        }
    }
    Ok(())
}

//! What has to be known before a command can be decided.

use crate::core::cache::Recent;
use crate::core::command::Command;
use crate::core::state::RoomState;
use crate::model::Write;
use crate::ports::Wanted;
use kaiwa_common::id::UserId;
use kaiwa_common::limits::MENTIONS;

/// What the store has to be asked before this command can be decided, as far as that can be told
/// without deciding the ones before it.
pub(in crate::core) fn wants(
    state: Option<&RoomState>,
    recent: &Recent,
    command: &Command,
) -> Wanted {
    let mut wanted = Wanted::default();
    let actor = &command.actor.user.id;
    let mut users: Vec<&UserId> = Vec::new();
    // Of the server's own writes nobody's rights are asked.
    let is_actors = !matches!(
        command.write,
        Write::ShowClip { .. } | Write::RemoveClip { .. }
    );
    let mut parts: Vec<&UserId> = if state.is_some() && is_actors {
        vec![actor]
    } else {
        Vec::new()
    };
    if let (Write::Send { mentions, .. } | Write::Edit { mentions, .. }, Some(_)) =
        (&command.write, state)
    {
        parts.extend(mentions.users.iter().take(MENTIONS));
    }
    match &command.write {
        Write::Send {
            reply_to: Some(target),
            ..
        }
        | Write::Edit { target, .. }
        | Write::Delete { target, .. }
        | Write::ShowClip { target, .. }
        | Write::RemoveClip { target, .. } => {
            let known = recent.message(*target).is_some();
            // A message after the head may be one that is still in the queue.
            if !known && state.is_some_and(|state| *target <= state.head.seq) {
                wanted.messages.push(*target);
            }
        }
        Write::Send { reply_to: None, .. } | Write::PostClip { .. } | Write::Leave { .. } => {}
        Write::Join { .. } => users.push(actor),
        Write::OpenDirect { peer } => users.extend([actor, peer]),
        Write::Create(new) if state.is_none() => {
            users.push(actor);
            users.extend(&new.invite);
        }
        Write::Create(_) => {}
        Write::Invite { user, .. } | Write::Remove { user, .. } | Write::SetRole { user, .. } => {
            parts.push(user);
            users.push(user);
        }
    }
    parts.retain(|user| recent.part(user).is_none());
    users.retain(|user| !command.users.contains_key(*user));
    wanted.members.extend(parts.into_iter().cloned());
    wanted.users.extend(users.into_iter().cloned());
    wanted
}

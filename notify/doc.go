// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package notify tells people what a rotation needs of them. Its sinks go into rotation.Config.Sinks: [Slack] for chats that
// take Slack's incoming webhooks, [Email], and [Webhook] for programs. Each is a struct that is filled in and used by value.
//
// # Whom to tell what
//
// [If] passes some events on, and [Alerts] names those that a person has to act on. A [Router] sends each event to whom it is
// for, by its contact and its level, and makes sure that none is lost because nobody is listed for it. [Quiet] says the same
// thing once in a while and not again and again.
//
// # Delivery
//
// The engine delivers at least once to each sink in Config.Sinks, and tries one that failed again without holding up the
// others. So each destination has to be a sink of its own there, which is what [Router.All] returns: one sink in front of
// two destinations would tell the first one again whenever the second one fails. What comes again is recognisable: the
// Message-ID of a mail and the id of a signed webhook are made of Event.ID, which is the same at every delivery. A chat shows
// the message again.
//
// Every sink gives up after its Timeout and returns an error, so that a destination which hangs costs that long and no more.
//
// # Secrets
//
// An event holds no secret, and [Message], which is all that a template sees, is made of the event's texts. The URL of a chat's
// webhook and the password of a mail account are secrets themselves: no error, identity or printed form of a sink has them.
//
// Text of an event can come from outside: names, reasons, instructions. It is cut to a length, has no control characters, and
// cannot add a header to a mail, mention anybody in a chat, or pass for another line of the message.
package notify

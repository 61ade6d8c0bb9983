// SPDX-License-Identifier: Apache-2.0

package record

import (
	"cmp"
	"fmt"
	"net/netip"

	"vipd/agent/control/api"
	"vipd/loader"
)

// rejectWords explains a reject reason of the data plane.
func rejectWords(reason string) string {
	switch reason {
	case "bad_ttl":
		return "its TTL is not 255, so it came through a router"
	case "bad_version":
		return "it is neither CARP version 2 nor well-formed VRRP"
	case "bad_length":
		return "it is too short"
	case "bad_checksum":
		return "its checksum is wrong"
	case "bad_hmac":
		return "the password or the list of addresses differs from ours"
	case "loop":
		return "it is our own and came back"
	case "replay":
		return "it was heard before, or its number is too low"
	case "rate_limited":
		return "too many that could not be verified came at once"
	case "bad_trailer":
		return "its trailer is wrong, or missing although the sender is a vipd node or trailers are required"
	case "wrong_family":
		return "the group has no address of that family"
	}
	return "see the metrics"
}

// dropWords explains why a frame was dropped.
func dropWords(reason string) string {
	switch reason {
	case "not_answering_arp", "not_answering_nd", "not_answering_mac":
		return "dropped, since this node does not own the group now"
	case "egress_not_answering_advert":
		return "not sent, since the right to advertise has ended"
	case "unicast_advert":
		return "taken in"
	}
	return "not sent, since this node does not own the group now"
}

// reasonWords explains a transition reason.
func reasonWords(reason string) string {
	switch reason {
	case "startup":
		return "vipd started"
	case "master_timeout":
		return "no advert for the master-down interval"
	case "preempt":
		return "the master is worse than this node"
	case "goodbye":
		return "the master sent a goodbye"
	case "better_advert":
		return "a better advert was heard"
	case "equal_advert":
		return "an equal advert was heard"
	case "demoted":
		return "this node was demoted"
	case "lease_expired":
		return "the lease ended before an advert could be sent"
	case "link_down":
		return "the link is down"
	case "link_up":
		return "the link is up"
	case "interface_missing":
		return "the interface is gone"
	case "interface_enslaved":
		return "the interface was added to a bridge or bond"
	case "attach_failed":
		return "the data plane could not be attached"
	case "send_failed":
		return "adverts could not be sent"
	case "config_changed":
		return "the config changed"
	case "disabled":
		return "disabled by the operator"
	case "enabled":
		return "enabled by the operator"
	case "stop":
		return "vipd stopped"
	case "yield":
		return "handed over by the operator"
	case "own_address":
		return "the host has a virtual address as an ordinary one"
	case "interface_duplicate":
		return "another group has it under another name of the interface"
	}
	return "see vipctl history"
}

// text describes the entry.
func (e *entry) text(f *frame) string {
	if e.Transition != nil {
		return transitionText(e.Transition)
	}
	switch e.Kind {
	case loader.SampleAuthentic:
		return e.heardText(f)
	case loader.SampleAdvertSent:
		if f.carp != nil && f.carp.isGoodbye {
			return fmt.Sprintf("our goodbye to %s", whom(f.dst))
		}
		return fmt.Sprintf("our advert to %s: %s", whom(f.dst), f.carp.words(e))
	case loader.SampleRejected:
		return fmt.Sprintf("advert of %s refused: %s (%s)%s",
			whom(f.src), e.Reason, rejectWords(e.Reason), f.carp.claim(f, e))
	case loader.SampleForeignVRRP:
		return fmt.Sprintf("VRRP advert of %s on this VHID, passed on: another router uses the same number%s",
			whom(f.src), f.carp.vrrp())
	case loader.SampleARPGratuitous:
		return fmt.Sprintf("%s announces itself as the owner", f.arp.who())
	case loader.SampleARPRequest:
		return f.arp.asks() + "; answered by XDP"
	case loader.SampleNDSolicitation:
		return f.nd.asks() + "; answered by XDP"
	case loader.SampleARPReply:
		return "XDP answers: " + f.arp.tells()
	case loader.SampleNDAdvertisement:
		return "XDP answers: " + f.nd.tells()
	case loader.SampleARPSent:
		return "this node sends: " + f.arp.says()
	case loader.SampleNDSent:
		return "this node sends: " + f.nd.says()
	case loader.SampleClaim:
		if f.nd != nil {
			return "another host announces the address with its own MAC: " + f.nd.says()
		}
		return "another host announces the address with its own MAC: " + f.arp.says()
	case loader.SampleDropped:
		return e.droppedText(f)
	}
	return e.Kind.String()
}

func (e *entry) heardText(f *frame) string {
	switch {
	case f.carp != nil && f.carp.isGoodbye:
		return "goodbye of " + whom(f.src)
	case e.Yielded:
		return fmt.Sprintf("advert of %s: %s; better than ours, so XDP stopped answering at once",
			whom(f.src), f.carp.words(e))
	case e.OwnCounter:
		return fmt.Sprintf("advert of %s: %s; with a counter of ours, as BSDs adopt them", whom(f.src), f.carp.words(e))
	}
	return fmt.Sprintf("advert of %s: %s", whom(f.src), f.carp.words(e))
}

func (e *entry) droppedText(f *frame) string {
	what := "frame of " + whom(f.src)
	switch {
	case f.arp != nil && e.Out:
		what = "ARP: " + f.arp.says()
	case f.nd != nil && e.Out:
		what = "ND: " + f.nd.says()
	case f.arp != nil:
		what = f.arp.asks()
	case f.nd != nil:
		what = f.nd.asks()
	case f.carp != nil && e.Out:
		what = "our advert: " + f.carp.words(e)
	case !e.Out:
		what += " to the virtual MAC"
	}
	return fmt.Sprintf("%s; %s (%s)", what, dropWords(e.Reason), e.Reason)
}

func transitionText(t *api.Transition) string {
	out := fmt.Sprintf("%s -> %s: %s (%s)", t.From, t.To, reasonWords(t.Reason), t.Reason)
	if c := t.Cause; c != nil {
		out += fmt.Sprintf("; the advert of %s, advbase %d, advskew %d, demote %d",
			c.Address, c.AdvBase, c.AdvSkew, c.Demote)
	}
	if t.Detail != "" {
		out += "; " + t.Detail
	}
	return out
}

func whom(a netip.Addr) string {
	if !a.IsValid() {
		return "an unknown host"
	}
	return a.String()
}

// words returns priority and counter.
func (c *carp) words(e *entry) string {
	if c == nil || !c.whole {
		return "truncated"
	}
	said := fmt.Sprintf("advbase %d, advskew %d, demote %d", c.advBase, c.advSkew, c.demote)
	switch {
	case c.trailer == nil && e.Kind == loader.SampleAdvertSent:
		return fmt.Sprintf("%s, our counter %016x", said, c.counter)
	case c.trailer == nil:
		return fmt.Sprintf("%s, plain counter %016x", said, c.counter)
	}
	said += fmt.Sprintf(", number %d", c.counter)
	if c.trailer.Beat > 0 {
		said += fmt.Sprintf(", beat %d us", c.trailer.Beat)
	}
	if tag := e.tag(); tag != api.TagOurs {
		said += ", trailer " + tag
	}
	return said
}

// tag returns what is known of the tag of a trailer. The data plane checks it before anything that needs the password.
func (e *entry) tag() string {
	switch {
	case e.Proven, e.Reason == "replay", e.Reason == "loop":
		return api.TagRight
	case e.Reason == "bad_trailer":
		return api.TagWrong
	case e.Out:
		return api.TagOurs
	}
	return api.TagUnchecked
}

// claim returns the content of a refused advert, which is not verified.
func (c *carp) claim(f *frame, e *entry) string {
	if c == nil {
		return ""
	}
	if !c.whole {
		return fmt.Sprintf("; version %d, TTL %d", c.version, f.ttl)
	}
	return fmt.Sprintf("; version %d, TTL %d, %s", c.version, f.ttl, c.words(e))
}

func (c *carp) vrrp() string {
	if c == nil {
		return ""
	}
	return fmt.Sprintf("; version %d, VRID %d, priority %d", c.version, c.vhid, c.priority)
}

func (n *neighbour) who() string {
	if n == nil {
		return "an unknown host"
	}
	return fmt.Sprintf("%s at %s", whom(n.sender), n.senderMAC)
}

func (n *neighbour) asks() string {
	if n == nil {
		return "a question that cannot be read"
	}
	return fmt.Sprintf("%s asks for %s", n.who(), whom(n.target))
}

// tells describes an answer: which address has which MAC.
func (n *neighbour) tells() string {
	if n == nil {
		return "an answer that cannot be read"
	}
	owner := n.sender
	if n.op == "advertisement" {
		owner = cmp.Or(n.target, n.sender)
	}
	return fmt.Sprintf("%s is at %s", whom(owner), n.senderMAC)
}

func (n *neighbour) says() string {
	switch {
	case n == nil:
		return "a message that cannot be read"
	case n.op == "request" && n.sender != n.target, n.op == "solicitation":
		return n.asks()
	}
	return n.tells()
}

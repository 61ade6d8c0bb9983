// SPDX-License-Identifier: Apache-2.0

package metrics

// Names of all metrics. They are a contract with dashboards and alerts.
const (
	nameGroupState       = "vipd_group_state"
	nameTransitions      = "vipd_transitions_total"
	nameSent             = "vipd_advertisements_sent_total"
	nameReceived         = "vipd_advertisements_received_total"
	nameRejected         = "vipd_advertisements_rejected_total"
	nameLastAge          = "vipd_last_advertisement_age_seconds"
	nameARPRequests      = "vipd_arp_requests_total"
	nameConflicts        = "vipd_address_conflicts_total"
	nameARPReplies       = "vipd_arp_replies_total"
	nameNDSolicitations  = "vipd_nd_solicitations_total"
	nameNDAdvertisements = "vipd_nd_advertisements_total"
	nameAnswersUnseen    = "vipd_answers_unseen"
	namePackets          = "vipd_packets_total"
	nameBytes            = "vipd_bytes_total"
	nameLease            = "vipd_lease_remaining_seconds"
	nameDemotion         = "vipd_demotion"
	nameEnabled          = "vipd_enabled"
	nameMaintenance      = "vipd_maintenance"
	nameDropped          = "vipd_frames_dropped_total"
	nameProgramsLost     = "vipd_programs_lost_total"
	nameFallbacks        = "vipd_xdp_fallbacks_total"
	nameXDPInfo          = "vipd_xdp_info"
	nameRestored         = "vipd_addresses_restored_total"
	nameEventsLost       = "vipd_events_lost_total"
	nameWakeupLag        = "vipd_agent_wakeup_lag_seconds"
	nameSlowRounds       = "vipd_agent_slow_rounds_total"
	nameStreamsDropped   = "vipd_control_streams_dropped_total"
	nameBuildInfo        = "vipd_build_info"
	nameContext          = "vipd_advertisements_context_total"
	nameFamilySilent     = "vipd_family_silent"
	nameContribution     = "vipd_demotion_contribution"
	nameCheckFailing     = "vipd_check_failing"
	nameCheckAge         = "vipd_check_result_age_seconds"
	nameLoopAge          = "vipd_agent_loop_age_seconds"
	nameSamplesLost      = "vipd_record_samples_lost_total"
	nameSkipped          = "vipd_record_incidents_skipped_total"
	nameStandbys         = "vipd_group_standbys"
	namePeerLastSeen     = "vipd_peer_last_seen_seconds"
	namePeerInfo         = "vipd_peer_info"
	nameNotRemembered    = "vipd_peers_not_remembered_total"
	nameBeat             = "vipd_beat_seconds"
	nameMasterBeat       = "vipd_master_beat_seconds"
	nameBeatDistrusted   = "vipd_beat_distrusted"
	nameHookRuns         = "vipd_hook_runs_total"
	nameHookSkipped      = "vipd_hook_skipped_total"
	nameHookWaiting      = "vipd_hook_waiting"
	nameHookDuration     = "vipd_hook_duration_seconds"
	nameHTTPRefused      = "vipd_http_refused_total"
	nameHTTPControls     = "vipd_http_controls_total"
)

// groupReasons are the reject reasons of a group, interfaceReasons those of an
// interface. Their counters start at 0, so that a rate includes the first increment.
func groupReasons() []string {
	return []string{
		"bad_ttl", "bad_version", "bad_length", "bad_checksum", "bad_hmac",
		"loop", "replay", "rate_limited", "wrong_family", "bad_trailer",
	}
}

func interfaceReasons() []string { return []string{"bad_vhid", "foreign_vrrp"} }

func states() []string { return []string{"MASTER", "BACKUP", "INIT"} }

// hookBuckets range from a script that sends a message to one that copies a table.
func hookBuckets() []float64 {
	return []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
}

// hookOutcomes are the outcomes of a run; their counters start at 0.
func hookOutcomes() []string {
	return []string{"ok", "failed", "timeout", "not_started", "interrupted"}
}

// lagBuckets range from the timer slack of an idle machine to a starved agent.
func lagBuckets() []float64 {
	return []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
}

{{/* Questions to Prometheus. Each has exactly one value when all is well, and none when what it asks about cannot be
     known: then KEDA falls back, and does not take silence for idleness. */}}

{{/* Requests being served, without probes and without the watching of jobs, which costs nothing. The second half is
     zero where a service has had no other requests yet. Takes root, service (a regular expression). */}}
{{- define "copyist.inFlightQuery" -}}
{{- $mine := printf "namespace=%q,pod=~%q,service=~%q" .root.Release.Namespace (printf "%s-(amt|omr)-.+" (include "copyist.fullname" .root)) .service -}}
sum(copyist_requests_in_flight{ {{- $mine }},route!~"/livez|/readyz|/metrics|/v1/jobs/.+/events"}) or sum(0 * copyist_requests_in_flight{ {{- $mine }},route="/metrics"})
{{- end -}}

{{/* Unfinished jobs. Every replica of a service tells of all jobs: the greatest count is the one that is newest or
     right. Takes root, service. */}}
{{- define "copyist.jobsQuery" -}}
sum(max by (service, state) (copyist_jobs{namespace={{ .root.Release.Namespace | quote }},service=~{{ .service | quote }},pod=~{{ printf "%s-(amt|omr)-.+" (include "copyist.fullname" .root) | quote }},state!~"completed|failed|cancelled"}))
{{- end -}}

{{/* What workers are for: unfinished jobs and, as one more, calls of webhooks that are due; they are tried again long after
     the jobs' ends. Services of the version before tell nothing of these. Takes root, service. */}}
{{- define "copyist.workersQuery" -}}
{{ include "copyist.jobsQuery" . }} + (clamp_max(sum(max by (service) (copyist_webhooks_due{namespace={{ .root.Release.Namespace | quote }},service=~{{ .service | quote }},pod=~{{ printf "%s-(amt|omr)-.+" (include "copyist.fullname" .root) | quote }}})), 1) or vector(0))
{{- end -}}

{{/* What selects the metrics of this release's Triton. */}}
{{- define "copyist.ofTriton" -}}
{{ printf "{namespace=%q,job=%q,pod=~%q}" .Release.Namespace "copyist-triton" (printf "%s-triton-.+" (include "copyist.fullname" .)) }}
{{- end -}}

{{/* Zero where no Triton runs, and where one starts, which answers for the first time after minutes: an error then would
     lead to the fallback, and to a GPU more each time. Nothing where one has answered and does so no more. */}}
{{- define "copyist.noTriton" -}}
{{- $up := printf "up%s" (include "copyist.ofTriton" .) -}}
sum(absent({{ $up }} == 0 and max_over_time({{ $up }}[30m]) == 1) - 1)
{{- end -}}

{{- define "copyist.pendingQuery" -}}
sum(nv_inference_pending_request_count{{ include "copyist.ofTriton" . }}) or {{ include "copyist.noTriton" . }}
{{- end -}}

{{/* Milliseconds that a request waited in the queue, on average over all models and pods, times the number of pods: KEDA
     divides by that number, but the wait is the same however many share it. Without requests it is 0. */}}
{{- define "copyist.queueTimeQuery" -}}
{{- $mine := include "copyist.ofTriton" . -}}
sum(rate(nv_inference_queue_duration_us{{ $mine }}[2m])) / clamp_min(sum(rate(nv_inference_request_success{{ $mine }}[2m])), 0.001) / 1000 * count(up{{ $mine }} == 1) or {{ include "copyist.noTriton" . }}
{{- end -}}

{{/* All that wants models: jobs, requests, and requests that were turned away in the last minutes as there were none. */}}
{{- define "copyist.workQuery" -}}
({{ include "copyist.jobsQuery" (dict "root" . "service" "amt|omr") }}) + ({{ include "copyist.inFlightQuery" (dict "root" . "service" "amt|omr") }}) + (sum(increase(copyist_requests_total{namespace={{ .Release.Namespace | quote }},pod=~{{ printf "%s-(amt|omr)-.+" (include "copyist.fullname" .) | quote }},status="503"}[3m])) or vector(0))
{{- end -}}

{{/* What a schema cannot say: fields that contradict each other, each with the remedy. All are told at once. */}}
{{- define "copyist.checks" -}}
{{- $problems := printf "%s%s%s%s"
  (include "copyist.storageProblems" .)
  (include "copyist.tritonProblems" .)
  (include "copyist.scalingProblems" .)
  (include "copyist.exposureProblems" .) | trim -}}
{{- if $problems -}}
{{- fail (printf "\n\nThe values do not go together:\n%s\n" (regexReplaceAll "\n\\s*\n" $problems "\n")) -}}
{{- end -}}
{{- end -}}

{{- define "copyist.storageProblems" -}}
{{- with .Values }}
{{- if and (not .database.url) (not .database.existingSecret.name) }}
- There is no database. Name a secret with its URL in database.existingSecret.name, or, on a cluster of one node, use values-dev.yaml.
{{- end }}
{{- if and .database.url .database.existingSecret.name }}
- database.url and database.existingSecret.name are both set. Leave one of them empty.
{{- end }}
{{- if not .files.url }}
- There is no place for the files of jobs. Set files.url to s3://BUCKET/PREFIX, or, on a cluster of one node, use values-dev.yaml.
{{- end }}
{{- $folders := and .files.url (not (hasPrefix "s3:" .files.url)) }}
{{- if and $folders (or (not .dataVolume.enabled) (not (hasPrefix (printf "%s/" .dataVolume.mountPath) .files.url))) }}
- files.url is a folder that pods do not share. Set dataVolume.enabled and take a folder below dataVolume.mountPath, or use s3://.
{{- end }}
{{- if include "copyist.usesSqlite" $ }}
{{- if or (not .dataVolume.enabled) (not (hasPrefix (printf "sqlite:///%s/" .dataVolume.mountPath) .database.url)) }}
- database.url is a SQLite file that pods do not share. Set dataVolume.enabled and take a file below dataVolume.mountPath, such as sqlite:///{{ .dataVolume.mountPath }}/copyist.sqlite.
{{- end }}
{{- if ne .autoscaling.engine "none" }}
- autoscaling.engine is {{ .autoscaling.engine }}, but SQLite serves one node. Use PostgreSQL (database.existingSecret), or set autoscaling.engine to none.
{{- end }}
{{- end }}
{{- if and .externalSecrets.enabled (not .externalSecrets.secrets) }}
- externalSecrets.enabled, but externalSecrets.secrets names none. List the secrets, or switch it off.
{{- end }}
{{- end }}
{{- end -}}

{{- define "copyist.tritonProblems" -}}
{{- with .Values }}
{{- if and .triton.enabled .triton.externalUrl }}
- triton.enabled and triton.externalUrl are both set. Switch triton.enabled off to use another Triton.
{{- end }}
{{- if and (not .triton.enabled) (not .triton.externalUrl) }}
- There is no Triton. Set triton.enabled, or name another one in triton.externalUrl.
{{- end }}
{{- if lt (int .triton.preStopSeconds) (int (add .triton.connectionSeconds 15)) }}
- triton.preStopSeconds ({{ .triton.preStopSeconds }}) is too short for clients to leave a pod that stops. Set it to triton.connectionSeconds + 15 ({{ add .triton.connectionSeconds 15 }}) or more.
{{- end }}
{{- with .triton.strategy.rollingUpdate }}
{{- if and (eq (toString .maxSurge) "0") (eq (toString .maxUnavailable) "0") }}
- triton.strategy replaces no pod ever. Set maxSurge (needs a free GPU) or maxUnavailable (Triton is away meanwhile) to 1.
{{- end }}
{{- end }}
{{- with .triton.engineCache }}
{{- if and .create .existingClaim }}
- triton.engineCache has both create and existingClaim. Leave one of them.
{{- end }}
{{- end }}
{{- if and .modelSync.enabled (not .triton.enabled) }}
- modelSync.enabled needs the chart's own Triton. Set triton.enabled, or switch modelSync off.
{{- end }}
{{- if and .modelSync.enabled (not (hasPrefix "s3://" .modelSync.url)) }}
- modelSync.url must be s3://BUCKET/PREFIX, where released models lie.
{{- end }}
{{- if and .retraining.enabled (not .modelSync.enabled) }}
- retraining.enabled makes models that would never be served. Set modelSync.enabled and modelSync.url.
{{- end }}
{{- if .retraining.enabled }}
{{- if and (not .retraining.storage.create) (not .retraining.storage.existingClaim) }}
- retraining.storage has no claim, so that a run's steps would not see each other's work. Set create, or existingClaim.
{{- end }}
{{- if and (eq .retraining.trainer "job") (gt (int .retraining.gpu.nodes) 1) }}
- retraining.gpu.nodes is {{ .retraining.gpu.nodes }}, but a Job trains on one machine. Set it to 1 and raise retraining.gpu.count, or set retraining.trainer to kubeflow.
{{- end }}
{{- if not (hasPrefix (printf "%s/" (include "copyist.retrainFolder" $)) (toString .settings.runsFolder)) }}
- settings.runsFolder is not on the volume of retraining. Take a folder below {{ include "copyist.retrainFolder" $ }}.
{{- end }}
{{- end }}
{{- if and .releaseWatch.enabled (not .modelSync.enabled) }}
- releaseWatch.enabled, but nothing is released. Set modelSync.enabled and modelSync.url.
{{- end }}
{{- if and .trigger.enabled (not .retraining.enabled) }}
- trigger.enabled, but there is no retraining to be started. Set retraining.enabled.
{{- end }}
{{- if and .trigger.enabled (not .trigger.existingSecret.name) }}
- trigger.enabled, but nobody could prove to be Alertmanager. Name a secret with a token in trigger.existingSecret.name.
{{- end }}
{{- end }}
{{- end -}}

{{- define "copyist.scalingProblems" -}}
{{- $engine := .Values.autoscaling.engine }}
{{- if and (eq $engine "keda") (not .Values.monitoring.enabled) }}
- autoscaling.engine is keda, which asks Prometheus. Set monitoring.enabled, so that Prometheus has what it is asked for.
{{- end }}
{{- if ne $engine "none" }}
{{- range $name := list "amt" "omr" "amtWorker" "omrWorker" "triton" }}
{{- with index $.Values $name }}
{{- if .enabled }}
{{- if gt (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas) }}
- {{ $name }}.autoscaling.minReplicas is above maxReplicas. Raise maxReplicas, or lower minReplicas.
{{- end }}
{{- if and (eq $engine "hpa") (eq (int .autoscaling.minReplicas) 0) }}
- {{ $name }}.autoscaling.minReplicas is 0, which a HorizontalPodAutoscaler cannot do. Set it to 1, or autoscaling.engine to keda.
{{- end }}
{{- if and (has $name (list "amt" "omr")) (eq (int .autoscaling.minReplicas) 0) }}
- {{ $name }}.autoscaling.minReplicas is 0, but then nobody takes requests. Set it to 1 or more.
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "copyist.exposureProblems" -}}
{{- range $component := compact (splitList " " (include "copyist.services" .)) }}
{{- if $component }}
{{- with (index $.Values $component).ports }}
{{- if eq (int .http) (int .grpc) }}
- {{ $component }}.ports.http and grpc are the same. Take two ports.
{{- end }}
{{- end }}
{{- if and $.Values.ingress.enabled (not (get $.Values.ingress.hosts $component)) }}
- ingress.hosts.{{ $component }} is missing: each service has a host of its own, as both have the same paths.
{{- end }}
{{- if and $.Values.gateway.enabled (not (get $.Values.gateway.hosts $component)) }}
- gateway.hosts.{{ $component }} is missing: each service has a host of its own, as both have the same paths.
{{- end }}
{{- end }}
{{- end }}
{{- with .Values }}
{{- if and .ingress.hosts.amt (eq .ingress.hosts.amt (.ingress.hosts.omr | default "")) }}
- ingress.hosts has one host for both services. Take two, as both have the same paths.
{{- end }}
{{- if and .gateway.hosts.amt (eq .gateway.hosts.amt (.gateway.hosts.omr | default "")) }}
- gateway.hosts has one host for both services. Take two, as both have the same paths.
{{- end }}
{{- range $host := values .gateway.grpcHosts }}
{{- if has $host (values $.Values.gateway.hosts) }}
- gateway.grpcHosts has {{ $host }}, which gateway.hosts has too. A Gateway takes a host's HTTP or its gRPC: take another host for gRPC.
{{- end }}
{{- end }}
{{- if and .gateway.enabled (not .gateway.parentRefs) }}
- gateway.enabled, but gateway.parentRefs names no Gateway. Name the one that takes the routes.
{{- end }}
{{- if and .ingress.enabled (eq .ingress.className "alb") .networkPolicy.enabled }}
{{- $blocks := 0 }}
{{- range .networkPolicy.clients }}{{ if hasKey . "ipBlock" }}{{ $blocks = add1 $blocks }}{{ end }}{{ end }}
{{- if not $blocks }}
- ingress.className is alb, whose requests come from the VPC's addresses, not from pods. Add an ipBlock with the VPC's CIDR to networkPolicy.clients.
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "copyist.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 32 characters, so that every object's name stays within 63 with its suffix, and a CronJob's within 52. */}}
{{- define "copyist.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 32 | trimSuffix "-" -}}
{{- else if contains (include "copyist.name" .) .Release.Name -}}
{{- .Release.Name | trunc 32 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "copyist.name" .) | trunc 32 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects a component's pods. Never changes: a Deployment's selector is immutable. Takes root, component. */}}
{{- define "copyist.selector" -}}
app.kubernetes.io/name: {{ include "copyist.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of a component's pods. Not the chart's version: a new chart must not replace pods that stay the same.
     Takes root, component. */}}
{{- define "copyist.podLabels" -}}
{{ include "copyist.selector" . }}
app.kubernetes.io/part-of: copyist
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* All labels of a component's objects. Takes root, component. */}}
{{- define "copyist.labels" -}}
{{ include "copyist.podLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* Name and labels of a component's object. Takes root, component and, where the name has more, suffix. */}}
{{- define "copyist.metadata" -}}
name: {{ include "copyist.fullname" .root }}-{{ .component }}{{ with .suffix }}-{{ . }}{{ end }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "copyist.labels" . | nindent 2 }}
{{- end -}}

{{/* An image's reference. Takes root, image. */}}
{{- define "copyist.image" -}}
{{- $registry := .root.Values.global.imageRegistry | default .image.registry -}}
{{- $tag := .image.tag | default .root.Chart.AppVersion -}}
{{- with $registry }}{{ . }}/{{ end }}{{ .image.repository }}:{{ $tag }}{{ with .image.digest }}@{{ . }}{{ end }}
{{- end -}}

{{/* Name of a component's service account. Takes root, component, config. */}}
{{- define "copyist.serviceAccountName" -}}
{{- if .config.serviceAccount.create -}}
{{- .config.serviceAccount.name | default (printf "%s-%s" (include "copyist.fullname" .root) .component) -}}
{{- else -}}
{{- .config.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* host:port of Triton for gRPC. The headless name has every pod's address, and the client goes round them; a
     ClusterIP would pin all calls of a connection to one pod. */}}
{{- define "copyist.tritonUrl" -}}
{{- if .Values.triton.enabled -}}
dns:///{{ include "copyist.fullname" . }}-triton-headless.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}:8001
{{- else -}}
{{- .Values.triton.externalUrl -}}
{{- end -}}
{{- end -}}

{{- define "copyist.usesSqlite" -}}
{{- if and (not .Values.database.existingSecret.name) (hasPrefix "sqlite:" .Values.database.url) }}true{{ end -}}
{{- end -}}

{{/* The services that are on, as "amt omr". */}}
{{- define "copyist.services" -}}
{{- $names := list -}}
{{- range $name := list "amt" "omr" }}{{ if (index $.Values $name).enabled }}{{ $names = append $names $name }}{{ end }}{{ end -}}
{{- join " " $names -}}
{{- end -}}

{{/* The models that are retrained, as Kubernetes names. */}}
{{- define "copyist.kubernetesName" -}}
{{- . | lower | replace "_" "-" -}}
{{- end -}}

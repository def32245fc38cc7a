{{/* Network flows, each as one rule of a NetworkPolicy. */}}

{{- define "copyist.toNames" -}}
- to:
    {{- toYaml .Values.networkPolicy.dns | nindent 4 }}
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end -}}

{{- define "copyist.toTriton" -}}
{{- if .Values.triton.enabled -}}
- to:
    - podSelector:
        matchLabels:
          {{- include "copyist.selector" (dict "root" . "component" "triton") | nindent 10 }}
  ports:
    - {protocol: TCP, port: 8001}
{{- else -}}
- to:
    {{- toYaml .Values.networkPolicy.externalTriton.to | nindent 4 }}
  ports:
    - {protocol: TCP, port: {{ .Values.networkPolicy.externalTriton.port }}}
{{- end -}}
{{- end -}}

{{- define "copyist.toDatabase" -}}
{{- if not (include "copyist.usesSqlite" .) }}
- to:
    {{- toYaml .Values.networkPolicy.database.to | nindent 4 }}
  ports:
    - {protocol: TCP, port: {{ .Values.networkPolicy.database.port }}}
{{- end }}
{{- end -}}

{{- define "copyist.toPodIdentity" -}}
{{- if .Values.networkPolicy.podIdentity }}
- to:
    - ipBlock:
        cidr: 169.254.170.23/32
  ports:
    - {protocol: TCP, port: 80}
{{- end }}
{{- end -}}

{{/* Takes root, url: what lies in a folder needs no network. */}}
{{- define "copyist.toObjectStorage" -}}
{{- if hasPrefix "s3:" .url }}
- to:
    {{- toYaml .root.Values.networkPolicy.objectStorage.to | nindent 4 }}
  ports:
    - {protocol: TCP, port: {{ .root.Values.networkPolicy.objectStorage.port }}}
{{- include "copyist.toPodIdentity" .root }}
{{- end }}
{{- end -}}

{{- define "copyist.toTracing" -}}
{{- if .Values.settings.otlpEndpoint }}
- to:
    {{- toYaml .Values.networkPolicy.tracing.to | nindent 4 }}
  ports:
    - {protocol: TCP, port: {{ .Values.networkPolicy.tracing.port }}}
{{- end }}
{{- end -}}

{{- define "copyist.toOidc" -}}
{{- if .Values.settings.oidcIssuer }}
- to:
    {{- toYaml .Values.networkPolicy.oidc | nindent 4 }}
  ports:
    - {protocol: TCP, port: 443}
{{- end }}
{{- end -}}

{{/* The ports that a webhook's address may have. */}}
{{- define "copyist.toWebhooks" -}}
{{- if .Values.webhooks.existingSecret.name }}
- to:
    {{- toYaml .Values.networkPolicy.webhooks | nindent 4 }}
  ports:
    - {protocol: TCP, port: 80}
    - {protocol: TCP, port: 443}
    - {protocol: TCP, port: 1024, endPort: 65535}
{{- end }}
{{- end -}}

{{- define "copyist.toKubernetes" -}}
- to:
    {{- toYaml .Values.networkPolicy.kubernetesApi | nindent 4 }}
  ports:
    - {protocol: TCP, port: 443}
    - {protocol: TCP, port: 6443}
{{- end -}}

{{/* What follows the release manifest reads it there, and the cards of published versions where these lie. */}}
{{- define "copyist.toReleases" -}}
{{- if .Values.modelSync.enabled }}
{{ include "copyist.toKubernetes" . }}
{{- if not (hasPrefix "s3:" .Values.files.url) }}
{{- include "copyist.toObjectStorage" (dict "root" . "url" .Values.modelSync.url) }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "copyist.toPrometheus" -}}
- to:
    {{- toYaml .Values.networkPolicy.prometheus | nindent 4 }}
  ports:
    - {protocol: TCP, port: {{ .Values.networkPolicy.prometheusPort }}}
{{- end -}}

{{/* Takes root, port. */}}
{{- define "copyist.fromPrometheus" -}}
- from:
    {{- toYaml .root.Values.networkPolicy.prometheus | nindent 4 }}
  ports:
    - {protocol: TCP, port: {{ .port }}}
{{- end -}}

{{/* The beginning of a component's policy. Takes root, component. */}}
{{- define "copyist.policy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "copyist.metadata" . | nindent 2 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  podSelector:
    matchLabels:
      {{- include "copyist.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
{{- end -}}

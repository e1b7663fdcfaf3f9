{{/* What things are called, and what they are told apart by. */}}

{{- define "tirelessd.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 52 characters: the longest suffix is "-0123456789" of a pod's controller.
A release may have dots in its name, a Service may not. */}}
{{- define "tirelessd.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | replace "." "-" | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | replace "." "-" | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "tirelessd.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tirelessd.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Of the pod of `helm test`, which no Service may find. */}}
{{- define "tirelessd.testLabels" -}}
app.kubernetes.io/name: {{ include "tirelessd.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Of the pod of the migration Job, which no Service may find either. */}}
{{- define "tirelessd.migrationLabels" -}}
app.kubernetes.io/name: {{ include "tirelessd.name" . }}-migration
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tirelessd.labels" -}}
{{ include "tirelessd.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "tirelessd.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "tirelessd.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "tirelessd.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* "postgresql" when values name such a store, "embedded" otherwise. */}}
{{- define "tirelessd.shape" -}}
{{- $postgresql := .Values.store.postgresql -}}
{{- if or $postgresql.url $postgresql.secret.name -}}postgresql{{- else -}}embedded{{- end -}}
{{- end -}}

{{/* The roles that run as workloads of their own, in a list under "roles". */}}
{{- define "tirelessd.roles" -}}
{{- $roles := ternary (list "intake" "slots") (list "all") .Values.split.enabled -}}
{{- dict "roles" $roles | toYaml -}}
{{- end -}}

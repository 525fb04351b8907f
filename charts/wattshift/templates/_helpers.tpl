{{- define "wattshift.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 53 | trimSuffix "-" }}
{{- end }}

{{- define "wattshift.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" }}
{{- else if contains (include "wattshift.name" .) .Release.Name }}
{{- .Release.Name | trunc 53 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "wattshift.name" .) | trunc 53 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "wattshift.selectorLabels" -}}
app.kubernetes.io/name: {{ include "wattshift.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "wattshift.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "wattshift.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "wattshift.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "wattshift.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "wattshift.credentialsNamespace" -}}
{{- default .Release.Namespace .Values.credentialsNamespace }}
{{- end }}

{{- define "wattshift.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- /* Pod and container security of every pod we run: the restricted profile. */ -}}
{{- define "wattshift.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}
{{- define "wattshift.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /*
Two operators on the same workloads would undo each other's work, each with a Lease of its own. CRDs
owned by the other release stop a second one already; this does where crds.enabled is false. Finds
nothing in `helm template`, where there is no cluster to ask.
*/ -}}
{{- define "wattshift.alone" -}}
{{- range (lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" "").items }}
{{- $labels := .metadata.labels | default dict }}
{{- $notes := .metadata.annotations | default dict }}
{{- $name := index $notes "meta.helm.sh/release-name" | default "" }}
{{- $space := index $notes "meta.helm.sh/release-namespace" | default "" }}
{{- $ours := and (eq $name $.Release.Name) (eq $space $.Release.Namespace) }}
{{- if and $name (not $ours) (eq (index $labels "app.kubernetes.io/component" | default "") "wattshift-controller") }}
{{- $theirs := compact (splitList "," (index $notes "wattshift.io/watch-namespaces" | default "")) }}
{{- $common := list }}
{{- range $theirs }}{{ if has . $.Values.watchNamespaces }}{{ $common = append $common . }}{{ end }}{{ end }}
{{- if or (empty $theirs) (empty $.Values.watchNamespaces) (not (empty $common)) }}
{{- fail (printf "release %s in namespace %s is a wattshift operator of this cluster already: two would undo each other's work. Upgrade or uninstall it, or give each release its own watchNamespaces, none of them in common." $name $space) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

"""Admission policies: CEL expressions judge (ValidatingAdmissionPolicy) or change (MutatingAdmissionPolicy) what is written."""

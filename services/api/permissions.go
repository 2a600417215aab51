package api

import "gantry.example/services/postgres"

// grants is TFE's block of permissions: what each of them takes, seen by somebody with the role. It tells a client what to
// offer; what is allowed is decided by rights.
func grants(role postgres.Role, needs map[string]postgres.Role) map[string]bool {
	out := make(map[string]bool, len(needs))
	for name, need := range needs {
		out[name] = role.Covers(need)
	}
	return out
}

func organizationPermissions(role postgres.Role, site bool) map[string]bool {
	out := grants(role, map[string]postgres.Role{
		"can-traverse": postgres.RoleRead, "can-create-workspace": postgres.RoleWrite, "can-update": postgres.RoleAdmin,
		"can-manage-users": postgres.RoleAdmin, "can-update-api-token": postgres.RoleAdmin, "can-create-project": postgres.RoleAdmin,
	})
	out["can-destroy"] = site
	return out
}

func workspacePermissions(role postgres.Role) map[string]bool {
	return grants(role, map[string]postgres.Role{
		"can-read-settings": postgres.RoleRead, "can-read-state-versions": postgres.RoleRead, "can-read-variable": postgres.RoleRead,
		"can-queue-run": postgres.RolePlan, "can-queue-destroy": postgres.RolePlan,
		"can-queue-apply": postgres.RoleWrite, "can-update": postgres.RoleWrite, "can-lock": postgres.RoleWrite, "can-unlock": postgres.RoleWrite,
		"can-update-variable": postgres.RoleWrite, "can-create-state-versions": postgres.RoleWrite, "can-manage-run-tasks": postgres.RoleAdmin,
		"can-force-unlock": postgres.RoleAdmin, "can-destroy": postgres.RoleAdmin,
	})
}

// runPermissions are those on a run; its maker may end it with the role plan.
func runPermissions(role postgres.Role, own bool) map[string]bool {
	end := postgres.RoleWrite
	if own {
		end = postgres.RolePlan
	}
	return grants(role, map[string]postgres.Role{
		"can-comment": postgres.RolePlan, "can-cancel": end, "can-discard": end, "can-apply": postgres.RoleWrite,
		"can-force-cancel": postgres.RoleAdmin, "can-force-execute": postgres.RoleAdmin,
	})
}

func projectPermissions(role postgres.Role) map[string]bool {
	return grants(role, map[string]postgres.Role{
		"can-read": postgres.RoleRead, "can-create-workspace": postgres.RoleWrite, "can-move-workspace": postgres.RoleWrite,
		"can-update": postgres.RoleAdmin, "can-destroy": postgres.RoleAdmin,
	})
}

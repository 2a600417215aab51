package api

import "slices"

// routes is the whole API. The OpenAPI document is generated from it.
func (s *Server) routes() []route {
	return slices.Concat(s.attemptRoutes(), s.gantryRoutes(), s.deadLetterRoutes(), s.recoverRoutes(), s.gantryUserRoutes(), s.tfeAccountRoutes(), s.tfeTokenRoutes(), s.tfeAgentPoolRoutes(), s.agentRoutes(), s.k8sRoutes(), s.tfeMembershipRoutes(), s.tfeTeamRoutes(), s.tfeTeamAccessRoutes(), s.tfeObjectRoutes(), s.tfeWorkspaceActions(), s.tfeTagRoutes(), s.tfeProjectRoutes(), s.tfeCommentRoutes(), s.tfeRunTriggerRoutes(), s.tfeStateConsumerRoutes(), s.tfeNotificationRoutes(), s.tfeConfigurationRoutes(), s.tfeVariableRoutes(), s.tfeVariableSetRoutes(), s.tfeStateRoutes(), s.tfeRunRoutes(), s.signedRoutes(), s.discoveryRoutes())
}

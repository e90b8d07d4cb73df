/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Every D-Bus name of omerta, once. The XML files beside this are what they mean. */

#define OMERTA_BUS_NAME "org.omerta.Mesh1"
#define OMERTA_PATH "/org/omerta/Mesh1"
#define OMERTA_NETWORK_PATH "/org/omerta/Mesh1/network"

#define OMERTA_IFACE_MANAGER "org.omerta.Mesh1.Manager"
#define OMERTA_IFACE_NETWORK "org.omerta.Mesh1.Network"
#define OMERTA_IFACE_MACHINE "org.omerta.Mesh1.Machine"
#define OMERTA_IFACE_SESSION "org.omerta.Mesh1.Session"
#define OMERTA_IFACE_LEASE "org.omerta.Mesh1.Lease"
#define OMERTA_IFACE_FORWARD "org.omerta.Mesh1.Forward"

#define OMERTA_ERROR_PREFIX "org.omerta.Mesh1.Error."
#define OMERTA_ERROR_NOT_JOINED OMERTA_ERROR_PREFIX "NotJoined"
#define OMERTA_ERROR_NO_SUCH_NETWORK OMERTA_ERROR_PREFIX "NoSuchNetwork"
#define OMERTA_ERROR_NO_SUCH_MACHINE OMERTA_ERROR_PREFIX "NoSuchMachine"
#define OMERTA_ERROR_AMBIGUOUS OMERTA_ERROR_PREFIX "Ambiguous"
#define OMERTA_ERROR_ALREADY_MEMBER OMERTA_ERROR_PREFIX "AlreadyMember"
#define OMERTA_ERROR_NAME_TAKEN OMERTA_ERROR_PREFIX "NameTaken"
#define OMERTA_ERROR_INVALID_ARGUMENT OMERTA_ERROR_PREFIX "InvalidArgument"
#define OMERTA_ERROR_INVITE_INVALID OMERTA_ERROR_PREFIX "InviteInvalid"
#define OMERTA_ERROR_INVITE_EXPIRED OMERTA_ERROR_PREFIX "InviteExpired"
#define OMERTA_ERROR_INVITE_USED OMERTA_ERROR_PREFIX "InviteUsed"
#define OMERTA_ERROR_NO_SUCH_INVITE OMERTA_ERROR_PREFIX "NoSuchInvite"
#define OMERTA_ERROR_NOT_GATEWAY OMERTA_ERROR_PREFIX "NotGateway"
#define OMERTA_ERROR_POOL_EMPTY OMERTA_ERROR_PREFIX "PoolEmpty"
#define OMERTA_ERROR_NO_ADDRESS OMERTA_ERROR_PREFIX "NoAddress"
#define OMERTA_ERROR_TIMEOUT OMERTA_ERROR_PREFIX "Timeout"
#define OMERTA_ERROR_UNREACHABLE OMERTA_ERROR_PREFIX "Unreachable"
#define OMERTA_ERROR_REFUSED OMERTA_ERROR_PREFIX "Refused"
#define OMERTA_ERROR_PORT_IN_USE OMERTA_ERROR_PREFIX "PortInUse"
#define OMERTA_ERROR_NOT_PERMITTED OMERTA_ERROR_PREFIX "NotPermitted"
#define OMERTA_ERROR_NOT_SUPPORTED OMERTA_ERROR_PREFIX "NotSupported"
#define OMERTA_ERROR_INTERFACE_UNAVAILABLE OMERTA_ERROR_PREFIX "InterfaceUnavailable"
#define OMERTA_ERROR_SUBNET_REFUSED OMERTA_ERROR_PREFIX "SubnetRefused"
#define OMERTA_ERROR_LIMIT_REACHED OMERTA_ERROR_PREFIX "LimitReached"
#define OMERTA_ERROR_STATE_DAMAGED OMERTA_ERROR_PREFIX "StateDamaged"
#define OMERTA_ERROR_FAILED OMERTA_ERROR_PREFIX "Failed"

/* polkit actions, data/org.omerta.Mesh1.policy */
#define OMERTA_ACTION_DIAL "org.omerta.Mesh1.dial"
#define OMERTA_ACTION_CONNECT "org.omerta.Mesh1.connect"
#define OMERTA_ACTION_MANAGE_NETWORKS "org.omerta.Mesh1.manage-networks"
#define OMERTA_ACTION_MANAGE_GATEWAY "org.omerta.Mesh1.manage-gateway"
#define OMERTA_ACTION_FORWARD "org.omerta.Mesh1.forward"

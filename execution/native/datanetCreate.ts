/**
 * 0x51 DatanetCreate: opens a datanet, with the licence that every record in it is given under.
 * Spec: docs/spec/transactions.md#0x51-datanetcreate
 */
import { parseAbiItem, parseAbiParameters, zeroAddress } from 'viem'
import { DOOR, LIMIT, TX_TYPE } from '../../genesis/params.ts'
import { utf8Length } from '../fields.ts'
import { datanets, getCounters, indexOf, putCounters } from '../ledger/tables.ts'
import { defineNative, doorLog, invalid } from './nativeType.ts'

/** Bits of a licence and of a model's use flags: the lower half grants, the upper half obliges. */
export const LICENCE = {
  train: 1 << 0,
  commercialUse: 1 << 1,
  redistributeWeights: 1 << 2,
  deriveModels: 1 << 3,
  attribution: 1 << 16,
  shareAlike: 1 << 17,
} as const

/** Every bit that has a meaning. */
const LICENCE_KNOWN = Object.values(LICENCE).reduce((all: number, bit) => all | bit, 0)

/** The bits that grant; the others oblige. */
export const LICENCE_GRANTS = 0xffff

/** Who may upload to a datanet. */
export const JOIN_POLICY = { anyone: 0, ownerAndCurator: 1 } as const

export const DATANET_STATUS = { active: 1, retired: 2 } as const

export const datanetCreatedEvent = parseAbiItem(
  'event DatanetCreated(uint32 indexed datanetId, address indexed owner, address indexed curator, uint32 licence, string name)',
)

export const datanetCreate = defineNative({
  byte: TX_TYPE.datanetCreate,
  name: 'DatanetCreate',
  door: DOOR.datanets,
  functionName: 'create',
  payable: false,
  parameters: parseAbiParameters('string name, bytes32 schemaHash, uint32 licence, address curator, uint8 joinPolicy, uint96 uploadBond'),
  returns: parseAbiParameters('uint32 datanetId'),

  records: () => 1,

  check({ name, licence, curator, joinPolicy }) {
    const nameBytes = utf8Length(name)
    if (nameBytes === 0 || nameBytes > LIMIT.nameBytes) return invalid('badName', { nameBytes })
    if (hasUnknownLicenceBits(licence)) return invalid('badLicence', { licence })
    if (curator === zeroAddress) return invalid('badCurator')
    if (joinPolicy > JOIN_POLICY.ownerAndCurator) return invalid('badJoinPolicy', { joinPolicy })
    return undefined
  },

  apply(ledger, { sender }, { name, schemaHash, licence, curator, joinPolicy, uploadBond }) {
    indexOf(ledger, sender) // the owner earns what attribution leaves over
    const counters = getCounters(ledger)
    const datanetId = counters.datanets + 1
    putCounters(ledger, { ...counters, datanets: datanetId })
    datanets.put(
      ledger,
      { datanetId },
      {
        owner: sender,
        curator,
        licence,
        joinPolicy,
        status: DATANET_STATUS.active,
        uploadBond,
        uploads: 0,
        accepted: 0,
        records: 0n,
        retires: 0,
        schemaHash,
        name,
      },
    )
    const told = { datanetId, owner: sender, curator, licence, name }
    return { ok: true, logs: [doorLog(DOOR.datanets, datanetCreatedEvent, told)], returned: { datanetId } }
  },
})

/** Whether a bit without a meaning is set. */
export function hasUnknownLicenceBits(bits: number): boolean {
  return (bits & ~LICENCE_KNOWN) !== 0
}

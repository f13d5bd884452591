BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0027');
CREATE TABLE apps (
	digest VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	blob VARCHAR NOT NULL, 
	size_bytes INTEGER NOT NULL, 
	pushed_at FLOAT NOT NULL, 
	signatures TEXT NOT NULL, 
	PRIMARY KEY (digest), 
	CONSTRAINT one_package_a_version UNIQUE (name, version)
);
CREATE TABLE audit (
	seq INTEGER NOT NULL, 
	at VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	made_by VARCHAR NOT NULL, 
	run VARCHAR NOT NULL, 
	silo VARCHAR NOT NULL, 
	event TEXT NOT NULL, 
	hash BLOB NOT NULL, 
	nodes BLOB NOT NULL, 
	PRIMARY KEY (seq)
);
INSERT INTO "audit" VALUES(1,'2026-11-29T15:21:55.631608Z','coordinator.opened','','','','{"about":{"because":"a new data directory","epoch":"1","septum":"0.1.0"},"at":"2026-11-29T15:21:55.631608Z","by":"","kind":"coordinator.opened","seq":1}',X'798031EBFF658FE144D350AE680EB174CE20C7BC3F9241A6B8D51E4FD77F8E63',X'');
CREATE TABLE audit_heads (
	size INTEGER NOT NULL, 
	content TEXT NOT NULL, 
	PRIMARY KEY (size)
);
CREATE TABLE audit_witnesses (
	size INTEGER NOT NULL, 
	silo VARCHAR NOT NULL, 
	content TEXT NOT NULL, 
	PRIMARY KEY (size, silo), 
	FOREIGN KEY(size) REFERENCES audit_heads (size), 
	FOREIGN KEY(silo) REFERENCES silos (name)
);
CREATE TABLE coordinator (
	id INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "coordinator" VALUES(1,1);
CREATE TABLE deployment_states (
	deployment INTEGER NOT NULL, 
	silo VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	metrics TEXT NOT NULL, 
	told_at FLOAT NOT NULL, 
	PRIMARY KEY (deployment, silo), 
	FOREIGN KEY(deployment) REFERENCES deployments (id), 
	FOREIGN KEY(silo) REFERENCES silos (name)
);
CREATE TABLE deployments (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	name VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	silo_group VARCHAR NOT NULL, 
	silos TEXT NOT NULL, 
	made_by VARCHAR NOT NULL, 
	made_at FLOAT NOT NULL, 
	FOREIGN KEY(name, version) REFERENCES model_versions (name, version)
);
CREATE TABLE feed (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at FLOAT NOT NULL, 
	noun VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	place VARCHAR NOT NULL, 
	run VARCHAR NOT NULL, 
	silo VARCHAR NOT NULL, 
	project VARCHAR NOT NULL, 
	content TEXT NOT NULL
);
CREATE TABLE grants (
	person VARCHAR NOT NULL, 
	role VARCHAR NOT NULL, 
	given_over VARCHAR NOT NULL, 
	scope VARCHAR NOT NULL, 
	PRIMARY KEY (person, role, given_over, scope), 
	FOREIGN KEY(person) REFERENCES people (name)
);
CREATE TABLE identities (
	issuer VARCHAR NOT NULL, 
	subject VARCHAR NOT NULL, 
	person VARCHAR NOT NULL, 
	PRIMARY KEY (issuer, subject), 
	FOREIGN KEY(person) REFERENCES people (name)
);
CREATE TABLE invitations (
	silo VARCHAR NOT NULL, 
	token_hash BLOB NOT NULL, 
	expires_at FLOAT NOT NULL, 
	burned BOOLEAN NOT NULL, 
	PRIMARY KEY (silo), 
	FOREIGN KEY(silo) REFERENCES silos (name)
);
INSERT INTO "invitations" VALUES('north',X'79A723B408960A70FA8F2BF4FC4DDA8D5C4C18110C946009DAB159AC3BE98C4D',4000000000.0,1);
INSERT INTO "invitations" VALUES('south',X'79A723B408960A70FA8F2BF4FC4DDA8D5C4C18110C946009DAB159AC3BE98C4D',4000000000.0,1);
INSERT INTO "invitations" VALUES('west',X'79A723B408960A70FA8F2BF4FC4DDA8D5C4C18110C946009DAB159AC3BE98C4D',4000000000.0,1);
INSERT INTO "invitations" VALUES('east',X'79A723B408960A70FA8F2BF4FC4DDA8D5C4C18110C946009DAB159AC3BE98C4D',4000000000.0,0);
CREATE TABLE journal (
	run_id VARCHAR NOT NULL, 
	seq INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	fact TEXT NOT NULL, 
	PRIMARY KEY (run_id, seq), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
)
 WITHOUT ROWID

;
INSERT INTO "journal" VALUES('r-combining',1,1.0,'{"kind":"run_created","name":"r-combining","plan_digest":"blake3:c04f5e06acd71772f668f22de6a07c19a281b18ec6c853bd3bd64ded908faae6"}');
INSERT INTO "journal" VALUES('r-combining',2,2.0,'{"kind":"silo_joined","silo":"north"}');
INSERT INTO "journal" VALUES('r-combining',3,2.0,'{"kind":"silo_joined","silo":"south"}');
INSERT INTO "journal" VALUES('r-combining',4,2.0,'{"kind":"silo_joined","silo":"west"}');
INSERT INTO "journal" VALUES('r-combining',5,2.0,'{"attempt":1,"cohort":["north","south","west"],"kind":"stage_opened","round":0,"stage":"prepare"}');
INSERT INTO "journal" VALUES('r-combining',6,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":0,"silo":"north","stage":"prepare"}');
INSERT INTO "journal" VALUES('r-combining',7,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":0,"silo":"south","stage":"prepare"}');
INSERT INTO "journal" VALUES('r-combining',8,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":0,"silo":"west","stage":"prepare"}');
INSERT INTO "journal" VALUES('r-combining',9,2.0,'{"attempt":1,"kind":"stage_closed","missing":[],"reported":["north","south","west"],"round":0,"stage":"prepare"}');
INSERT INTO "journal" VALUES('r-combining',10,2.0,'{"kind":"model_made","model":{"digest":"blake3:097e83b63af23d6a1a2b7e18bc0f132eca53699b99147dd0e8dbb00e0d502918","inline":null,"size_bytes":268},"round":0}');
INSERT INTO "journal" VALUES('r-combining',11,2.0,'{"attempt":1,"cohort":["north","south","west"],"kind":"stage_opened","round":1,"stage":"train"}');
INSERT INTO "journal" VALUES('r-combining',12,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":1,"silo":"north","stage":"train"}');
INSERT INTO "journal" VALUES('r-combining',13,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":1,"silo":"south","stage":"train"}');
INSERT INTO "journal" VALUES('r-combining',14,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":1,"silo":"west","stage":"train"}');
INSERT INTO "journal" VALUES('r-combining',15,2.0,'{"attempt":1,"kind":"stage_closed","missing":[],"reported":["north","south","west"],"round":1,"stage":"train"}');
INSERT INTO "journal" VALUES('r-ended',1,1.0,'{"kind":"run_created","name":"r-ended","plan_digest":"blake3:c7528d88fdc93faa695bf87f10748ebad8f3cd2782c2958782c615205dce508f"}');
INSERT INTO "journal" VALUES('r-ended',2,2.0,'{"kind":"silo_joined","silo":"north"}');
INSERT INTO "journal" VALUES('r-ended',3,2.0,'{"kind":"silo_joined","silo":"south"}');
INSERT INTO "journal" VALUES('r-ended',4,2.0,'{"kind":"silo_joined","silo":"west"}');
INSERT INTO "journal" VALUES('r-ended',5,2.0,'{"attempt":1,"cohort":["north","south","west"],"kind":"stage_opened","round":0,"stage":"prepare"}');
INSERT INTO "journal" VALUES('r-ended',6,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":0,"silo":"north","stage":"prepare"}');
INSERT INTO "journal" VALUES('r-ended',7,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":0,"silo":"south","stage":"prepare"}');
INSERT INTO "journal" VALUES('r-ended',8,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":0,"silo":"west","stage":"prepare"}');
INSERT INTO "journal" VALUES('r-ended',9,2.0,'{"attempt":1,"kind":"stage_closed","missing":[],"reported":["north","south","west"],"round":0,"stage":"prepare"}');
INSERT INTO "journal" VALUES('r-ended',10,2.0,'{"kind":"model_made","model":{"digest":"blake3:097e83b63af23d6a1a2b7e18bc0f132eca53699b99147dd0e8dbb00e0d502918","inline":null,"size_bytes":268},"round":0}');
INSERT INTO "journal" VALUES('r-ended',11,2.0,'{"attempt":1,"cohort":["north","south","west"],"kind":"stage_opened","round":1,"stage":"train"}');
INSERT INTO "journal" VALUES('r-ended',12,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":1,"silo":"north","stage":"train"}');
INSERT INTO "journal" VALUES('r-ended',13,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":1,"silo":"south","stage":"train"}');
INSERT INTO "journal" VALUES('r-ended',14,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":1,"silo":"west","stage":"train"}');
INSERT INTO "journal" VALUES('r-ended',15,2.0,'{"attempt":1,"kind":"stage_closed","missing":[],"reported":["north","south","west"],"round":1,"stage":"train"}');
INSERT INTO "journal" VALUES('r-ended',16,2.0,'{"kind":"model_measured","metrics":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.5,"roc_auc_bound":0.25,"rows":12},"round":0,"silos":{"north":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.75,"roc_auc_bound":0.0,"rows":4},"south":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.75,"roc_auc_bound":0.0,"rows":4},"west":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.75,"roc_auc_bound":0.0,"rows":4}}}');
INSERT INTO "journal" VALUES('r-ended',17,2.0,'{"kind":"model_made","model":{"digest":"blake3:24c24147049fadf2fb6ab00386609fc7e15d17e9a82c302736e557563f628a44","inline":null,"size_bytes":268},"round":1}');
INSERT INTO "journal" VALUES('r-ended',18,2.0,'{"attempt":1,"cohort":["north","south","west"],"kind":"stage_opened","round":2,"stage":"train"}');
INSERT INTO "journal" VALUES('r-ended',19,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":2,"silo":"north","stage":"train"}');
INSERT INTO "journal" VALUES('r-ended',20,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":2,"silo":"south","stage":"train"}');
INSERT INTO "journal" VALUES('r-ended',21,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":2,"silo":"west","stage":"train"}');
INSERT INTO "journal" VALUES('r-ended',22,2.0,'{"attempt":1,"kind":"stage_closed","missing":[],"reported":["north","south","west"],"round":2,"stage":"train"}');
INSERT INTO "journal" VALUES('r-ended',23,2.0,'{"kind":"model_measured","metrics":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.5,"roc_auc_bound":0.25,"rows":12},"round":1,"silos":{"north":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.75,"roc_auc_bound":0.0,"rows":4},"south":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.75,"roc_auc_bound":0.0,"rows":4},"west":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.75,"roc_auc_bound":0.0,"rows":4}}}');
INSERT INTO "journal" VALUES('r-ended',24,2.0,'{"kind":"model_made","model":{"digest":"blake3:7742d90f9a58492bab0407da38f5c60007635cac2dfdcc7051bb07cfce31549b","inline":null,"size_bytes":268},"round":2}');
INSERT INTO "journal" VALUES('r-ended',25,2.0,'{"attempt":1,"cohort":["north","south","west"],"kind":"stage_opened","round":3,"stage":"train"}');
INSERT INTO "journal" VALUES('r-ended',26,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":3,"silo":"north","stage":"train"}');
INSERT INTO "journal" VALUES('r-ended',27,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":3,"silo":"south","stage":"train"}');
INSERT INTO "journal" VALUES('r-ended',28,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":3,"silo":"west","stage":"train"}');
INSERT INTO "journal" VALUES('r-ended',29,2.0,'{"attempt":1,"kind":"stage_closed","missing":[],"reported":["north","south","west"],"round":3,"stage":"train"}');
INSERT INTO "journal" VALUES('r-ended',30,2.0,'{"kind":"model_measured","metrics":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.5,"roc_auc_bound":0.25,"rows":12},"round":2,"silos":{"north":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.75,"roc_auc_bound":0.0,"rows":4},"south":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.75,"roc_auc_bound":0.0,"rows":4},"west":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.75,"roc_auc_bound":0.0,"rows":4}}}');
INSERT INTO "journal" VALUES('r-ended',31,2.0,'{"kind":"model_made","model":{"digest":"blake3:36783f40c7da96f261bb121ac83bef5237e033ab1182c416263023eb0d7e22db","inline":null,"size_bytes":268},"round":3}');
INSERT INTO "journal" VALUES('r-ended',32,2.0,'{"attempt":1,"cohort":["north","south","west"],"kind":"stage_opened","round":3,"stage":"evaluate"}');
INSERT INTO "journal" VALUES('r-ended',33,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":3,"silo":"north","stage":"evaluate"}');
INSERT INTO "journal" VALUES('r-ended',34,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":3,"silo":"south","stage":"evaluate"}');
INSERT INTO "journal" VALUES('r-ended',35,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":3,"silo":"west","stage":"evaluate"}');
INSERT INTO "journal" VALUES('r-ended',36,2.0,'{"attempt":1,"kind":"stage_closed","missing":[],"reported":["north","south","west"],"round":3,"stage":"evaluate"}');
INSERT INTO "journal" VALUES('r-ended',37,2.0,'{"kind":"model_measured","metrics":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.5,"roc_auc_bound":0.25,"rows":12},"round":3,"silos":{"north":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.75,"roc_auc_bound":0.0,"rows":4},"south":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.75,"roc_auc_bound":0.0,"rows":4},"west":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.75,"roc_auc_bound":0.0,"rows":4}}}');
INSERT INTO "journal" VALUES('r-ended',38,2.0,'{"kind":"run_ended","outcome":"finished","reason":""}');
INSERT INTO "journal" VALUES('r-open',1,1.0,'{"kind":"run_created","name":"r-open","plan_digest":"blake3:a9e418262cacf4f0e0ddae450126f2777492ac01bc30f356c345cca339ca5e07"}');
INSERT INTO "journal" VALUES('r-open',2,2.0,'{"kind":"silo_joined","silo":"north"}');
INSERT INTO "journal" VALUES('r-open',3,2.0,'{"kind":"silo_joined","silo":"south"}');
INSERT INTO "journal" VALUES('r-open',4,2.0,'{"kind":"silo_joined","silo":"west"}');
INSERT INTO "journal" VALUES('r-open',5,2.0,'{"attempt":1,"cohort":["north","south","west"],"kind":"stage_opened","round":0,"stage":"prepare"}');
INSERT INTO "journal" VALUES('r-open',6,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":0,"silo":"north","stage":"prepare"}');
INSERT INTO "journal" VALUES('r-open',7,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":0,"silo":"south","stage":"prepare"}');
INSERT INTO "journal" VALUES('r-open',8,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":0,"silo":"west","stage":"prepare"}');
INSERT INTO "journal" VALUES('r-open',9,2.0,'{"attempt":1,"kind":"stage_closed","missing":[],"reported":["north","south","west"],"round":0,"stage":"prepare"}');
INSERT INTO "journal" VALUES('r-open',10,2.0,'{"kind":"model_made","model":{"digest":"blake3:097e83b63af23d6a1a2b7e18bc0f132eca53699b99147dd0e8dbb00e0d502918","inline":null,"size_bytes":268},"round":0}');
INSERT INTO "journal" VALUES('r-open',11,2.0,'{"attempt":1,"cohort":["north","south","west"],"kind":"stage_opened","round":1,"stage":"train"}');
INSERT INTO "journal" VALUES('r-open',12,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":1,"silo":"north","stage":"train"}');
INSERT INTO "journal" VALUES('r-open',13,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":1,"silo":"south","stage":"train"}');
INSERT INTO "journal" VALUES('r-open',14,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":1,"silo":"west","stage":"train"}');
INSERT INTO "journal" VALUES('r-open',15,2.0,'{"attempt":1,"kind":"stage_closed","missing":[],"reported":["north","south","west"],"round":1,"stage":"train"}');
INSERT INTO "journal" VALUES('r-open',16,2.0,'{"kind":"model_measured","metrics":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.5,"roc_auc_bound":0.25,"rows":12},"round":0,"silos":{"north":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.75,"roc_auc_bound":0.0,"rows":4},"south":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.75,"roc_auc_bound":0.0,"rows":4},"west":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.75,"roc_auc_bound":0.0,"rows":4}}}');
INSERT INTO "journal" VALUES('r-open',17,2.0,'{"kind":"model_made","model":{"digest":"blake3:9d7b8ed8a9162f07e4158d81dd3407f737c84897e9789212b2264da47ccd7a61","inline":null,"size_bytes":268},"round":1}');
INSERT INTO "journal" VALUES('r-open',18,2.0,'{"attempt":1,"cohort":["north","south","west"],"kind":"stage_opened","round":2,"stage":"train"}');
INSERT INTO "journal" VALUES('r-open',19,2.0,'{"attempt":1,"durations_s":{},"kind":"silo_reported","round":2,"silo":"north","stage":"train"}');
CREATE TABLE model_versions (
	name VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	run_id VARCHAR NOT NULL, 
	content TEXT NOT NULL, 
	PRIMARY KEY (name, version), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
CREATE TABLE openings (
	epoch INTEGER NOT NULL, 
	at FLOAT NOT NULL, 
	septum VARCHAR NOT NULL, 
	host VARCHAR NOT NULL, 
	pid INTEGER NOT NULL, 
	PRIMARY KEY (epoch)
);
INSERT INTO "openings" VALUES(1,1.79596571563051271439e+09,'0.1.0','vm',25956);
CREATE TABLE organisations (
	name VARCHAR NOT NULL, 
	title VARCHAR NOT NULL, 
	created_at FLOAT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "organisations" VALUES('default','The first organisation',0.0);
CREATE TABLE outbox (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	run_id VARCHAR NOT NULL, 
	effect TEXT NOT NULL, 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "outbox" VALUES(2,'r-open','{"kind":"discard","round":0,"stage":"prepare"}');
INSERT INTO "outbox" VALUES(4,'r-open','{"kind":"discard","round":1,"stage":"train"}');
INSERT INTO "outbox" VALUES(6,'r-combining','{"kind":"discard","round":0,"stage":"prepare"}');
INSERT INTO "outbox" VALUES(7,'r-combining','{"attempt":1,"base":{"digest":"blake3:097e83b63af23d6a1a2b7e18bc0f132eca53699b99147dd0e8dbb00e0d502918","inline":null,"size_bytes":268},"contributions":{"north":{"payload":{"digest":"blake3:c55ba4b9f47c98a4408a1b0b5419fe38fff609f5976b022474a7e5c9c451bcf2","inline":null,"size_bytes":316},"weight":10},"south":{"payload":{"digest":"blake3:802fde8949ba9fcc8bcd1844f46397850f42bd4d54782b2e78e133240dfba0c3","inline":null,"size_bytes":316},"weight":25},"west":{"payload":{"digest":"blake3:840b1923a6bd253790f4b7ffad166c155955a1b8283cefe1a4c63ac9cfb24246","inline":null,"size_bytes":316},"weight":7}},"exchange":null,"kind":"combine","optimizer":null,"round":1,"stage":"train"}');
INSERT INTO "outbox" VALUES(9,'r-ended','{"kind":"discard","round":0,"stage":"prepare"}');
INSERT INTO "outbox" VALUES(11,'r-ended','{"kind":"discard","round":1,"stage":"train"}');
INSERT INTO "outbox" VALUES(13,'r-ended','{"kind":"discard","round":2,"stage":"train"}');
INSERT INTO "outbox" VALUES(15,'r-ended','{"kind":"discard","round":3,"stage":"train"}');
INSERT INTO "outbox" VALUES(17,'r-ended','{"kind":"discard","round":3,"stage":"evaluate"}');
CREATE TABLE people (
	name VARCHAR NOT NULL, 
	full_name VARCHAR NOT NULL, 
	organisation VARCHAR NOT NULL, 
	created_at FLOAT NOT NULL, 
	suspended BOOLEAN NOT NULL, 
	password_hash VARCHAR NOT NULL, 
	one_time_hash BLOB NOT NULL, 
	one_time_until FLOAT NOT NULL, 
	totp_secret BLOB NOT NULL, 
	totp_step INTEGER NOT NULL, 
	PRIMARY KEY (name), 
	FOREIGN KEY(organisation) REFERENCES organisations (name)
);
CREATE TABLE presets (
	app VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	content TEXT NOT NULL, 
	PRIMARY KEY (app, name), 
	FOREIGN KEY(app) REFERENCES apps (digest)
);
CREATE TABLE project_owners (
	project VARCHAR NOT NULL, 
	organisation VARCHAR NOT NULL, 
	PRIMARY KEY (project, organisation), 
	FOREIGN KEY(project) REFERENCES projects (name), 
	FOREIGN KEY(organisation) REFERENCES organisations (name)
);
CREATE TABLE projects (
	name VARCHAR NOT NULL, 
	silo_group VARCHAR NOT NULL, 
	description VARCHAR NOT NULL, 
	created_at FLOAT NOT NULL, 
	closed BOOLEAN NOT NULL, 
	PRIMARY KEY (name), 
	FOREIGN KEY(silo_group) REFERENCES silo_groups (name)
);
CREATE TABLE recovery_codes (
	person VARCHAR NOT NULL, 
	code_hash BLOB NOT NULL, 
	PRIMARY KEY (person, code_hash), 
	FOREIGN KEY(person) REFERENCES people (name)
);
CREATE TABLE removed_apps (
	name VARCHAR NOT NULL, 
	version VARCHAR NOT NULL, 
	digest VARCHAR NOT NULL, 
	PRIMARY KEY (name, version)
);
CREATE TABLE run_index (
	run_id VARCHAR NOT NULL, 
	created_at FLOAT NOT NULL, 
	project VARCHAR NOT NULL, 
	app VARCHAR NOT NULL, 
	app_version VARCHAR NOT NULL, 
	outcome VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	submitter VARCHAR NOT NULL, 
	PRIMARY KEY (run_id), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "run_index" VALUES('r-open',1.0,'','golden','1.0.0','','r-open','');
INSERT INTO "run_index" VALUES('r-combining',1.0,'','golden','1.0.0','','r-combining','');
INSERT INTO "run_index" VALUES('r-ended',1.0,'','golden','1.0.0','finished','r-ended','');
CREATE TABLE run_views (
	run_id VARCHAR NOT NULL, 
	shape VARCHAR NOT NULL, 
	"view" TEXT NOT NULL, 
	model TEXT NOT NULL, 
	PRIMARY KEY (run_id), 
	FOREIGN KEY(run_id) REFERENCES runs (id)
);
INSERT INTO "run_views" VALUES('r-ended','0.1.0-ac33f33573c84387','{"app":{"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","name":"golden","version":"1.0.0"},"attempt":1,"created_at":1.0,"ended_at":2.0,"finished_rounds":3,"hyper":{"lr":0.5,"rounds":3},"id":"r-ended","masked":false,"metrics":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.5,"roc_auc_bound":0.25,"rows":12},"model":"blake3:36783f40c7da96f261bb121ac83bef5237e033ab1182c416263023eb0d7e22db","name":"r-ended","plan_digest":"blake3:c7528d88fdc93faa695bf87f10748ebad8f3cd2782c2958782c615205dce508f","quorum":3,"reason":"","round":3,"rounds":3,"silos":[{"awaited":false,"name":"north","presence":"active","problem":""},{"awaited":false,"name":"south","presence":"active","problem":""},{"awaited":false,"name":"west","presence":"active","problem":""}],"status":"finished","strategy":{"name":"fedavgm","settings":{}}}','{"digest":"blake3:36783f40c7da96f261bb121ac83bef5237e033ab1182c416263023eb0d7e22db","metrics":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.5,"roc_auc_bound":0.25,"rows":12},"round":3,"run":"r-ended","size_bytes":268}');
CREATE TABLE runs (
	id VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	created_at FLOAT NOT NULL, 
	ended BOOLEAN NOT NULL, 
	facts INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "runs" VALUES('r-open',13,1.0,0,19,'{"ahead":null,"attempt":1,"best":null,"burned":[],"burned_later":[],"burnt":0,"cohort":["north","south","west"],"combining":false,"deadline":602.75,"edges":[],"exchange":null,"failures":{},"finished":1,"forgiven":0,"id":"r-open","measured":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.5,"roc_auc_bound":0.25,"rows":12},"model":{"digest":"blake3:9d7b8ed8a9162f07e4158d81dd3407f737c84897e9789212b2264da47ccd7a61","inline":null,"size_bytes":268},"now":3.0,"numbered":0,"optimizer":{"digest":"blake3:476055548600c3be65a3fceec5f5208cf7977108d9f597e8801c1f9fc8476464","inline":null,"size_bytes":120},"outcome":null,"paused":false,"phase":"train","plan":{"app":{"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","name":"golden","version":"1.0.0"},"attempts":3,"clip_norm":null,"deadline_s":600.0,"early_stopping":null,"gather_s":60.0,"hyper":{"lr":0.5,"rounds":3},"name":"r-open","quorum":3,"rounds":3,"seed":7,"silos":["north","south","west"],"strategy":{"name":"fedadam","settings":{}}},"presence":{"north":"active","south":"active","west":"active"},"previous":{"attempt":1,"best":null,"measured":null,"model":{"digest":"blake3:097e83b63af23d6a1a2b7e18bc0f132eca53699b99147dd0e8dbb00e0d502918","inline":null,"size_bytes":268},"optimizer":null,"silos":[]},"priority":"normal","problems":{},"queued_at":0.0,"reason":"","remaining_s":null,"reports":{"north":{"payload":{"digest":"blake3:a502dde33fb77ff5fd22dd88ff4727d3c495080307364c6cbdc2f70e9ab491e0","inline":null,"size_bytes":316},"weight":10}},"retrying":false,"round":2}');
INSERT INTO "runs" VALUES('r-combining',11,1.0,0,15,'{"ahead":null,"attempt":1,"best":null,"burned":[],"burned_later":[],"burnt":0,"cohort":["north","south","west"],"combining":true,"deadline":null,"edges":[],"exchange":null,"failures":{},"finished":0,"forgiven":0,"id":"r-combining","measured":null,"model":{"digest":"blake3:097e83b63af23d6a1a2b7e18bc0f132eca53699b99147dd0e8dbb00e0d502918","inline":null,"size_bytes":268},"now":2.5,"numbered":0,"optimizer":null,"outcome":null,"paused":false,"phase":"train","plan":{"app":{"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","name":"golden","version":"1.0.0"},"attempts":3,"clip_norm":null,"deadline_s":600.0,"early_stopping":null,"gather_s":60.0,"hyper":{"lr":0.5,"rounds":3},"name":"r-combining","quorum":3,"rounds":3,"seed":7,"silos":["north","south","west"],"strategy":{"name":"fedavg","settings":{}}},"presence":{"north":"active","south":"active","west":"active"},"previous":{"attempt":1,"best":null,"measured":null,"model":null,"optimizer":null,"silos":[]},"priority":"normal","problems":{},"queued_at":0.0,"reason":"","remaining_s":null,"reports":{"north":{"payload":{"digest":"blake3:c55ba4b9f47c98a4408a1b0b5419fe38fff609f5976b022474a7e5c9c451bcf2","inline":null,"size_bytes":316},"weight":10},"south":{"payload":{"digest":"blake3:802fde8949ba9fcc8bcd1844f46397850f42bd4d54782b2e78e133240dfba0c3","inline":null,"size_bytes":316},"weight":25},"west":{"payload":{"digest":"blake3:840b1923a6bd253790f4b7ffad166c155955a1b8283cefe1a4c63ac9cfb24246","inline":null,"size_bytes":316},"weight":7}},"retrying":false,"round":1}');
INSERT INTO "runs" VALUES('r-ended',24,1.0,1,38,'{"ahead":null,"attempt":1,"best":null,"burned":[],"burned_later":[],"burnt":0,"cohort":[],"combining":false,"deadline":null,"edges":[],"exchange":null,"failures":{},"finished":3,"forgiven":0,"id":"r-ended","measured":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.5,"roc_auc_bound":0.25,"rows":12},"model":{"digest":"blake3:36783f40c7da96f261bb121ac83bef5237e033ab1182c416263023eb0d7e22db","inline":null,"size_bytes":268},"now":5.75,"numbered":0,"optimizer":{"digest":"blake3:efef6ca7ac8dead1be4678802e2be05eb7807869f7b293171756ccb725dda2e1","inline":null,"size_bytes":100},"outcome":"finished","paused":false,"phase":"ended","plan":{"app":{"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","name":"golden","version":"1.0.0"},"attempts":3,"clip_norm":null,"deadline_s":600.0,"early_stopping":null,"gather_s":60.0,"hyper":{"lr":0.5,"rounds":3},"name":"r-ended","quorum":3,"rounds":3,"seed":7,"silos":["north","south","west"],"strategy":{"name":"fedavgm","settings":{}}},"presence":{"north":"active","south":"active","west":"active"},"previous":{"attempt":1,"best":null,"measured":{"accuracy":0.75,"log_loss":0.625,"roc_auc":0.5,"roc_auc_bound":0.25,"rows":12},"model":{"digest":"blake3:7742d90f9a58492bab0407da38f5c60007635cac2dfdcc7051bb07cfce31549b","inline":null,"size_bytes":268},"optimizer":{"digest":"blake3:dcf1ceeee0aad461d2d4638eb9dd09699f5a06ec6b44ad5b8f64a072d68768f4","inline":null,"size_bytes":100},"silos":[]},"priority":"normal","problems":{},"queued_at":0.0,"reason":"","remaining_s":null,"reports":{},"retrying":false,"round":3}');
CREATE TABLE sessions (
	secret_hash BLOB NOT NULL, 
	person VARCHAR NOT NULL, 
	opened_at FLOAT NOT NULL, 
	seen_at FLOAT NOT NULL, 
	expires_at FLOAT NOT NULL, 
	PRIMARY KEY (secret_hash), 
	FOREIGN KEY(person) REFERENCES people (name)
);
CREATE TABLE silo_accounts (
	silo VARCHAR NOT NULL, 
	description TEXT NOT NULL, 
	described_at FLOAT NOT NULL, 
	paused BOOLEAN NOT NULL, 
	reason VARCHAR NOT NULL, 
	stood_at FLOAT NOT NULL, 
	budget_low TEXT NOT NULL, 
	PRIMARY KEY (silo), 
	FOREIGN KEY(silo) REFERENCES silos (name)
);
CREATE TABLE silo_groups (
	name VARCHAR NOT NULL, 
	open_to VARCHAR NOT NULL, 
	created_at FLOAT NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE silo_owners (
	silo VARCHAR NOT NULL, 
	organisation VARCHAR NOT NULL, 
	PRIMARY KEY (silo), 
	FOREIGN KEY(silo) REFERENCES silos (name), 
	FOREIGN KEY(organisation) REFERENCES organisations (name)
);
CREATE TABLE silos (
	name VARCHAR NOT NULL, 
	public_key BLOB NOT NULL, 
	enrolled_at FLOAT NOT NULL, 
	seen_at FLOAT NOT NULL, 
	revoked BOOLEAN NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "silos" VALUES('north',X'A9A27C579410C215F6917B5751776C987215FE2406F0DC4B32D41CB991966DE3',5.0,0.0,0);
INSERT INTO "silos" VALUES('south',X'44E10FF5CFB095B54C3CFC59595ABA62200D6160218CF16CC7B9B71E71B7C2CD',5.0,0.0,0);
INSERT INTO "silos" VALUES('west',X'027442906E1548A9D3ED2ABACA12FECD381EBDE34990EABDEB6FB12949981B02',5.0,0.0,0);
INSERT INTO "silos" VALUES('gone',X'F76AA7CB81B2292EE8A578E83FE858D79509346A15672AEB3209457125DF9D09',5.0,0.0,1);
INSERT INTO "silos" VALUES('east',X'',0.0,0.0,0);
CREATE TABLE silos_of_groups (
	of_group VARCHAR NOT NULL, 
	silo VARCHAR NOT NULL, 
	PRIMARY KEY (of_group, silo), 
	FOREIGN KEY(of_group) REFERENCES silo_groups (name), 
	FOREIGN KEY(silo) REFERENCES silos (name)
);
CREATE TABLE tokens (
	secret_hash BLOB NOT NULL, 
	id VARCHAR NOT NULL, 
	person VARCHAR NOT NULL, 
	title VARCHAR NOT NULL, 
	rights TEXT NOT NULL, 
	created_at FLOAT NOT NULL, 
	expires_at FLOAT NOT NULL, 
	used_at FLOAT NOT NULL, 
	PRIMARY KEY (secret_hash), 
	CONSTRAINT one_token_an_id UNIQUE (id), 
	FOREIGN KEY(person) REFERENCES people (name)
);
CREATE INDEX runs_by_age ON runs (created_at, id);
CREATE INDEX runs_at_work ON runs (id) WHERE ended = 0;
CREATE INDEX audit_by_kind ON audit (kind, seq);
CREATE INDEX audit_by_person ON audit (made_by, seq);
CREATE INDEX audit_by_run ON audit (run, seq);
CREATE INDEX audit_by_silo ON audit (silo, seq);
CREATE INDEX audit_by_time ON audit (at);
CREATE INDEX outbox_by_run ON outbox (run_id, id);
CREATE INDEX run_index_by_age ON run_index (created_at, run_id);
CREATE INDEX run_index_by_project ON run_index (project, created_at, run_id);
CREATE INDEX identities_by_person ON identities (person);
CREATE INDEX sessions_by_person ON sessions (person, opened_at);
CREATE INDEX tokens_by_person ON tokens (person, created_at);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('outbox',17);
COMMIT;

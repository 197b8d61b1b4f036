// A user's VRM model (version 0 or 1) on a transparent canvas, moved by what the server says of a
// show (motionlane.py). No connection here; three.js draws.
import * as THREE from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { VRMLoaderPlugin, VRMUtils } from "@pixiv/three-vrm";

const DEGREES = 180 / Math.PI;
const FIELD = 20; // degrees: far away, as portraits are taken
const LONGEST_STEP = 0.1; // s that hair and skirt may swing on at once, after a pause
const PERFECT_SYNC = 40; // of ARKit's 52 shapes: a model with so many wears them, not the presets
const ARMS_DOWN = 1.2; // radians from the T in which models stand
// How much is seen, in heights of the head: below its joint, and above the top of the hair.
const FRAMINGS = { bust: [1.6, 0.2], face: [0.35, 0.25] };

/** Draw the model of a file (an ArrayBuffer) until the page goes. Throws for what is no VRM. */
export async function openModel(canvas, file, names, framing = "bust") {
  const loader = new GLTFLoader();
  loader.register((parser) => new VRMLoaderPlugin(parser));
  const { userData: { vrm } } = await loader.parseAsync(file, "");
  if (!vrm?.humanoid) throw new Error("it has no VRM in it");
  VRMUtils.removeUnnecessaryVertices(vrm.scene); // models carry much that is never seen
  VRMUtils.combineSkeletons(vrm.scene);
  vrm.scene.traverse((part) => { part.frustumCulled = false; }); // it bends out of the box it was made in
  return new Model(canvas, vrm, names, FRAMINGS[framing] ?? FRAMINGS.bust);
}

class Model {
  constructor(canvas, vrm, names, framing) {
    Object.assign(this, { canvas, vrm, framing, names, clock: new THREE.Clock() });
    VRMUtils.rotateVRM0(vrm); // they look along -z, those of version 1 along +z
    this.backwards = vrm.meta.metaVersion === "0";
    this.worn = expressions(vrm, names);
    this.pose("leftUpperArm", [0, 0, -Math.sin(ARMS_DOWN / 2), Math.cos(ARMS_DOWN / 2)]);
    this.pose("rightUpperArm", [0, 0, Math.sin(ARMS_DOWN / 2), Math.cos(ARMS_DOWN / 2)]);
    this.scene = new THREE.Scene().add(vrm.scene, light());
    this.camera = new THREE.PerspectiveCamera(FIELD, 1, 0.05, 100);
    this.renderer = new THREE.WebGLRenderer({ canvas, alpha: true, antialias: true });
    this.renderer.setClearAlpha(0);
    vrm.update(0);
    vrm.springBoneManager?.reset(); // hair hangs from where the head is now
    this.frame();
    this.fit();
    window.addEventListener("resize", () => this.fit());
    this.renderer.setAnimationLoop(() => { if (this.moved) this.draw(); }); // as often as it moves
  }

  /** Turn a bone; `turn` is x, y, z, w, with x to the model's left, y up, z forward. */
  pose(bone, [x, y, z, w]) {
    const side = this.backwards ? -1 : 1;
    this.vrm.humanoid.getNormalizedBoneNode(bone)?.quaternion.set(side * x, y, side * z, w);
  }

  /** Look as a frame of the show says, from the next picture on. */
  wear(motion) {
    const { humanoid, lookAt, expressionManager } = this.vrm;
    for (const { name, kind, index } of this.worn) expressionManager.setValue(name, motion[kind][index]);
    const chest = ["upperChest", "chest", "spine"].find((bone) => humanoid.getNormalizedBoneNode(bone));
    if (chest) this.pose(chest, motion.chest);
    this.pose("neck", motion.neck);
    this.pose("head", motion.head);
    if (lookAt) [lookAt.yaw, lookAt.pitch] = [DEGREES * motion.gaze[0], -DEGREES * motion.gaze[1]];
    this.moved = true;
  }

  draw() {
    this.moved = false;
    this.vrm.update(Math.min(this.clock.getDelta(), LONGEST_STEP));
    this.renderer.render(this.scene, this.camera);
    this.canvas.dataset.frames = Number(this.canvas.dataset.frames ?? 0) + 1;
  }

  /** Put the camera before the face, as far away as the framing asks for. */
  frame() {
    this.scene.updateMatrixWorld(true);
    const joint = this.vrm.humanoid.getRawBoneNode("head").getWorldPosition(new THREE.Vector3());
    const top = new THREE.Box3().setFromObject(this.vrm.scene, true).max.y;
    const head = top - joint.y, [below, above] = this.framing;
    const low = joint.y - below * head, high = top + above * head;
    const distance = (high - low) / 2 / Math.tan(FIELD / 2 / DEGREES);
    this.camera.position.set(joint.x, (low + high) / 2, joint.z + distance);
  }

  fit() {
    this.renderer.setPixelRatio(devicePixelRatio);
    this.renderer.setSize(innerWidth, innerHeight, false);
    this.camera.aspect = innerWidth / innerHeight;
    this.camera.updateProjectionMatrix();
    this.moved = true;
  }
}

/** What of each frame the model wears: its own name for it, and where the value stands. */
function expressions({ expressionManager, lookAt }, names) {
  const own = new Map((expressionManager?.expressions ?? []).map(({ expressionName }) => [expressionName.toLowerCase(), expressionName]));
  const known = (kind) => names[kind].flatMap((name, index) => {
    const found = own.get(name.toLowerCase());
    return found ? [{ name: found, kind, index }] : [];
  });
  const shapes = known("shapes");
  const worn = shapes.length >= PERFECT_SYNC ? shapes : known("presets");
  return lookAt ? worn.filter(({ name }) => !/look/i.test(name)) : worn; // it turns the eyes itself
}

/** As the materials of VRM want it: one light, from before and above. */
function light() {
  const sun = new THREE.DirectionalLight(0xffffff, Math.PI);
  sun.position.set(0.5, 1, 1.5);
  return sun;
}

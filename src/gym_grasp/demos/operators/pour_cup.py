"""How a hand pours."""
import numpy as np
from gym_grasp.demos.operators.human import FLAT, OPEN_HAND, Human, Script, tilt

ON_EDGE=tilt(FLAT,(1,0,0),np.pi/2)
FROM_CUP=np.array([-0.14,-0.06,0.05])
GRIP=np.array([1.0,1.0,1.0,1.0,1.0])
def script(human):
    up=np.array([0,0,.1])
    cup,_=human.see_body("cup")
    g=cup+FROM_CUP
    side=np.array([0,-.09,0])
    yield from human.move(g+side+up,ON_EDGE,OPEN_HAND)
    yield from human.move(g+side,ON_EDGE,OPEN_HAND)
    yield from human.move(g,ON_EDGE,OPEN_HAND,pace=.6)
    yield from human.move(fingers=GRIP)
    yield from human.wait(.3)
    yield from human.move(human.position+up)
    yield from human.wait(5)
